"""Scripts of jobs that advance after a number of polls, instead of after some seconds that might be too few."""

from dataclasses import dataclass, field
from typing import Any

from automl_waiter.testing import Timeline

NEVER = 1e6
"""No wait reaches this second: the next status comes after polls, or when a test advances the job."""


@dataclass(frozen=True)
class Seen(Timeline):
    """A job whose next status comes after some polls of the current one, so that the slowest process sees each."""

    looks: int = 1
    _looked: list[float] = field(default_factory=list, init=False, compare=False)

    def response(self, elapsed: float, **more: Any) -> dict[str, Any]:
        """Return the script's response; the last of these polls advances the job."""
        response = super().response(elapsed, **more)
        self._looked.append(elapsed)
        if len(self._looked) == self.looks:
            self._looked.clear()
            object.__setattr__(self, "entries", self.advanced_at(elapsed).entries)
        return response
