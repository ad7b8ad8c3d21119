"""A plan's reading of the candidates: all pages of ListCandidatesForAutoMLJob."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from automl_waiter.actions import Action, Answer, ListCandidates
from automl_waiter.candidates import Leaderboard, ranked
from automl_waiter.snapshot import Candidate

# A job has at most 750 candidates (MaxCandidates in the API reference), and a page 100 of them.
_MOST_PAGES = 8


class Reading(NamedTuple):
    """What was read: the candidates, how many pages it took, and the last answer."""

    leaderboard: Leaderboard
    pages: int
    last: Answer


def read_candidates(job_name: str, *, deadline: float | None, patience: float = 0.0) -> Generator[Action, Any, Reading]:
    """Reads all pages; what was listed before an error is kept. `deadline` and `patience` are those of the call."""
    listed: dict[str, Candidate] = {}
    token: str | None = None
    pages = 0
    while True:
        answer: Answer = yield ListCandidates(job_name, token, deadline, patience)
        pages += 1
        if answer.error is not None:
            return Reading(Leaderboard(ranked(listed.values()), answer.error), pages, answer)
        listed |= {one["CandidateName"]: Candidate(one) for one in answer.response["Candidates"]}
        token = answer.response.get("NextToken")
        if not token or pages >= _MOST_PAGES or (deadline is not None and answer.finished >= deadline):
            return Reading(Leaderboard(ranked(listed.values())), pages, answer)
