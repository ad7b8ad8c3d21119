"""The reference: looks that cost least for who knows how long each phase takes, by dynamic programming.

It knows what no waiter can: the distribution of every duration, the shares of the kinds of jobs, and at each look when
the present phase began. What it does not know is the future. Two things are simplified, so it is a yardstick and not
the exact optimum: a failure may come at any time at a constant rate, and a job's own runtime limit is no part of the
programme but answered with a look just after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl_waiter import PollContext
from benchmarks.workloads import Kind, Phase, Workload

Floats = NDArray[np.float64]
Path = tuple[tuple[Phase, ...], float]
"""The phases that may be ahead, and the share of jobs that go through them."""

_STEP = 2.0
_LONGEST = 1200.0
# In deviations of the logarithm: where the programme takes a phase to have ended (one in 6000 takes longer), and the
# age from which on the delay stays as it is, because that end, which is none, would shorten it (one in 700).
_TAIL = 3.6
_STEADY = 3.0


class Reference:
    """A poll policy that costs least on a workload, at `lag_per_call` seconds of lag a call."""

    def __init__(self, workload: Workload, lag_per_call: float) -> None:
        self._step = _STEP * workload.factor
        self._delays: dict[tuple[str, bool, str], Floats] = {}
        groups: dict[tuple[str, bool], list[tuple[Kind, float]]] = {}
        for kind, share in workload.kinds:
            groups.setdefault((kind.problem_type, workload.deploys(kind)), []).append((kind, share))
        for (problem_type, deploys), kinds in groups.items():
            working = [phase.longer(workload.factor) for phase in kinds[0][0].working]
            failing = workload.failing / sum(phase.mean for phase in working)
            programme = _Programme(self._step, lag_per_call, {phase.name: failing for phase in working})
            programme.cost_after_entry([(workload.phases(kind), share) for kind, share in kinds])
            for phase, delays in programme.delays.items():
                self._delays[problem_type, deploys, phase] = delays

    def next_delay(self, context: PollContext, /) -> float:
        """Seconds to the next look."""
        snapshot = context.snapshot
        delays = self._delays[snapshot.problem_type or "Tabular", snapshot.is_to_deploy, snapshot.secondary_status]
        delay = float(delays[min(int(context.phase_age / self._step), len(delays) - 1)])
        limit = snapshot.completion_criteria.max_runtime_seconds
        left = math.inf if limit is None else limit - context.elapsed
        return left + 0.5 if 0 <= left < 1.25 * delay else delay


class _Programme:
    """The programme of one problem type. It goes from the last phases back to the first, and fills in `delays`."""

    def __init__(self, step: float, lag_per_call: float, failing: dict[str, float]) -> None:
        self.delays: dict[str, Floats] = {}
        self._step = step
        self._lag_per_call = lag_per_call
        self._failing = failing
        self._ahead = np.unique(np.geomspace(1, _LONGEST / _STEP, 48).astype(int))
        self._seconds = self._ahead * step
        self._since = np.arange(self._ahead[-1] + 1) * step

    def cost_after_entry(self, paths: Sequence[Path]) -> Floats:
        """What is still to be paid at a look, by the time for which one of the paths has been gone by then."""
        total = sum(share for _, share in paths)
        cost: Floats = sum(share for phases, share in paths if not phases) / total * self._since
        for phase in dict.fromkeys(phases[0] for phases, _ in paths if phases):
            rest = [(phases[1:], share) for phases, share in paths if phases[:1] == (phase,)]
            share = sum(share for _, share in rest) / total
            cost = cost + share * self._cost_in(phase, self.cost_after_entry(rest))
        return cost

    def _cost_in(self, phase: Phase, after: Floats) -> Floats:
        steps = math.ceil(phase.quantile(_TAIL) / self._step)
        ends = _normal(np.log(np.arange(steps + 1) * self._step + 1e-9) - math.log(phase.median), phase.spread)
        density = np.append(np.diff(ends), np.zeros(self._ahead[-1] + 1))
        lasting = np.append(1 - ends, np.zeros(self._ahead[-1] + 1))
        # left[d, a]: what is to be paid at a look after d, if the phase that is a old ends before it.
        left = np.stack(
            [np.correlate(density[: steps + ahead - 1], after[ahead:0:-1])[:steps] for ahead in self._ahead]
        )
        survives = np.exp(-self._failing.get(phase.name, 0.0) * self._seconds)
        fails = (1 - survives) * self._seconds / 2
        now = np.zeros(steps + self._ahead[-1] + 1)
        delays = np.zeros(steps)
        for age in range(steps - 1, -1, -1):
            still = lasting[age + self._ahead] * now[age + self._ahead] + left[:, age]
            costs = self._lag_per_call + fails + survives * still / max(lasting[age], 1e-12)
            best = int(costs.argmin())
            now[age], delays[age] = costs[best], self._seconds[best]
        self.delays[phase.name] = delays[: math.ceil(phase.quantile(_STEADY) / self._step)]
        entered = np.array([density[:step] @ after[step:0:-1] for step in range(len(self._since))])
        paid: Floats = lasting[: len(self._since)] * now[: len(self._since)] + entered
        return paid


def _normal(deviation: Floats, spread: float) -> Floats:
    return np.array([0.5 * math.erfc(-it / spread / math.sqrt(2)) for it in deviation])
