"""A plan's reading of the candidates: all pages of ListCandidatesForAutoMLJob."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from automl_waiter._engine.calls import Action, Answer, ListCandidates
from automl_waiter._model.candidates import Leaderboard, ranked
from automl_waiter._model.snapshot import Candidate

# A job has at most 750 candidates (MaxCandidates in the API reference), and a page 100 of them.
_MOST_PAGES = 8


class Reading(NamedTuple):
    """What was read.

    Attributes:
        leaderboard: The candidates so far.
        pages: How many pages it took.
        last: The last answer.
        token: Where the next page is; None, if there is none.
    """

    leaderboard: Leaderboard
    pages: int
    last: Answer
    token: str | None


def read_candidates(
    job_name: str, *, deadline: float | None, patience: float = 0.0, before: Reading | None = None
) -> Generator[Action, Any, Reading]:
    """Reads all pages, as far as there is time; what was listed before an error is kept.

    Args:
        job_name: The job's name.
        deadline: No page is asked for later, on the clock of the answers.
        patience: The error budget of each call, in seconds.
        before: An earlier reading that ran out of time, to go on with.
    """
    listed = {one.name: one for one in before.leaderboard.candidates} if before else {}
    token, pages = (before.token, before.pages) if before else (None, 0)
    while True:
        answer: Answer = yield ListCandidates(job_name, token, deadline, patience)
        pages += 1
        if answer.error is None:
            listed |= {one["CandidateName"]: Candidate(one) for one in answer.response["Candidates"]}
            token = answer.response.get("NextToken") if pages < _MOST_PAGES else None
        is_out_of_time = deadline is not None and answer.finished >= deadline
        if answer.error is not None or not token or is_out_of_time:
            board = Leaderboard(ranked(listed.values()), answer.error)
            return Reading(board, pages, answer, token or None)
