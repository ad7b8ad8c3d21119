"""Reading a job's candidates: all pages of ListCandidatesForAutoMLJob, and when to read them again."""

from __future__ import annotations

import math
from typing import NamedTuple

from automl_waiter._engine.calls import Calls
from automl_waiter._engine.retries import Answer
from automl_waiter._model.candidates import Leaderboard, ranked
from automl_waiter._model.options import CANDIDATES_EVERY_S, WaitOptions
from automl_waiter._model.snapshot import Candidate, Snapshot, unreadable_in
from automl_waiter._model.statuses import Stage, stage_of

# A job has at most 750 candidates (MaxCandidates in the API reference), and a page 100 of them.
_MOST_PAGES = 8
# Candidates that cannot be listed are read ever more rarely; a wait for one warns at the third failure.
_LONGEST_PAUSE_S = 1800.0
_WARN_AT_FAILURE = 3


class CandidatePages(NamedTuple):
    """The pages read so far.

    Attributes:
        leaderboard: The candidates so far.
        pages: The number of pages read.
        last: The last answer.
        token: The token of the next page; None if there is none.
    """

    leaderboard: Leaderboard
    pages: int
    last: Answer
    token: str | None


async def read_candidates(
    calls: Calls,
    job_name: str,
    *,
    deadline: float = math.inf,
    error_budget: float = 0.0,
    before: CandidatePages | None = None,
) -> CandidatePages:
    """Read all pages until the deadline. Candidates listed before an error are kept.

    Args:
        calls: Makes the calls.
        job_name: The job's name.
        deadline: The time at which to stop reading, on the kernel's clock.
        error_budget: The error budget of each call, in seconds.
        before: An earlier read that ran out of time, to continue.
    """
    listed = {one.name: one for one in before.leaderboard.candidates} if before else {}
    unreadable = dict.fromkeys(before.leaderboard.unreadable if before else ())
    token, pages = (before.token, before.pages) if before else (None, 0)
    while True:
        answer = await calls.list_candidates(job_name, token, deadline, error_budget=error_budget)
        pages += 1
        if answer.error is None:
            listed |= {one["CandidateName"]: Candidate(one) for one in answer.response["Candidates"]}
            unreadable |= dict.fromkeys(unreadable_in(answer.response))
            token = answer.response.get("NextToken") if pages < _MOST_PAGES else None
        if answer.error is not None or not token or answer.finished >= deadline:
            board = Leaderboard(ranked(listed.values()), answer.error, tuple(unreadable))
            return CandidatePages(board, pages, answer, token or None)


class CandidateSchedule:
    """When a wait reads the candidates, and the pages read so far. They are trained in one stage of the job.

    Args:
        options: The options of the wait.
        now: The time on the kernel's clock (seconds).
    """

    def __init__(self, options: WaitOptions, now: float) -> None:
        self._every = options.candidates_every or CANDIDATES_EVERY_S
        self._is_for_a_candidate = options.is_for_a_candidate
        self.next_at: float | None = now
        """When to read them next; None: never again."""
        self._partial: CandidatePages | None = None
        """The pages read so far, if there are more."""
        self._failures = 0

    async def read(self, calls: Calls, snapshot: Snapshot, until: float) -> tuple[Leaderboard | None, str | None]:
        """Read the candidates until a time. Return the leaderboard, if any, and a warning if one is due."""
        pages = await read_candidates(calls, snapshot.name, deadline=until, before=self._partial)
        board, now = pages.leaderboard, calls.kernel.clock.monotonic()
        if board.error is not None:
            is_transient = pages.last.exhausted
            self._partial, self._failures = None, self._failures + 1
            pause = min(_LONGEST_PAUSE_S, self._every * 2.0 ** min(self._failures, 8))
            # A permanent error, such as a denial, is not retried.
            self.next_at = now + pause if is_transient else None
            is_due = self._is_for_a_candidate and self._failures == (_WARN_AT_FAILURE if is_transient else 1)
            warning = f"the condition is evaluated on the describe response only: {board.error}"
            return None, warning if is_due else None
        self._failures = 0
        if pages.token is not None:
            self._partial, self.next_at = pages, now  # the rest, in the next pause
        else:
            self._partial = None
            is_last = stage_of(snapshot.state) is not Stage.TRAINING
            self.next_at = None if is_last else now + self._every * max(pages.pages, calls.slowdown)
        return board, None
