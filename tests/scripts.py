"""Scripts of jobs that go on when they have been looked at, instead of after some seconds that might be too few."""

from dataclasses import dataclass, field
from typing import Any

from automl_waiter.testing import Timeline

NEVER = 1e6
"""Nobody waits for what begins there: it comes when it has been looked for, or when a test has the job advance."""


@dataclass(frozen=True)
class Seen(Timeline):
    """A job whose next status comes after some looks at the present one: the slowest process sees each of them."""

    looks: int = 1
    _looked: list[float] = field(default_factory=list, init=False, compare=False)

    def response(self, elapsed: float, **more: Any) -> dict[str, Any]:
        """As any script answers; the last of the looks has the job go on."""
        response = super().response(elapsed, **more)
        self._looked.append(elapsed)
        if len(self._looked) == self.looks:
            self._looked.clear()
            object.__setattr__(self, "entries", self.advanced_at(elapsed).entries)
        return response
