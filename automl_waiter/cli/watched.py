"""The closing summary of a watch: how many jobs were followed, and which of them did not succeed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from automl_waiter._model.events import Ended, Event
from automl_waiter._model.exit_codes import is_bad
from automl_waiter._model.text import clean
from automl_waiter._model.tracker import Transition
from automl_waiter.report.facts import head_of

# A watch may last for weeks: its summary names the latest ones.
_MOST_NAMED = 20


class WatchSummary:
    """Counts the jobs of a watch."""

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._ended: Counter[str] = Counter()
        self._bad: list[str] = []

    def take(self, event: Event) -> None:
        """Count an event of a job."""
        match event:
            case Transition():
                self._running.add(event.job_arn)
            case Ended(outcome=outcome):
                self._running.discard(outcome.arn or "")
                self._ended[head_of(outcome)] += 1
                if is_bad(outcome.exit_code):
                    self._bad = [*self._bad, outcome.summary][-_MOST_NAMED:]

    def lines(self) -> Iterator[str]:
        """Yield the summary."""
        jobs = len(self._running) + self._ended.total()
        if not jobs:
            yield "no jobs followed"
            return
        counts = [f"{count} {head}" for head, count in self._ended.most_common()]
        counts += [f"{len(self._running)} in progress"] if self._running else []
        yield f"{jobs} job{'s' if jobs > 1 else ''} followed: {', '.join(counts)}"
        for summary in self._bad:
            yield f"  ✗ {clean(summary)}"
