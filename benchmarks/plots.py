"""The pictures: what a policy costs in calls and in lag, and when in a job's life the default polls."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib

from automl_waiter import Fixed
from automl_waiter.testing import Timeline
from benchmarks.polling import DEFAULT, PEERS, Result, polls

matplotlib.use("svg")
# The same picture for the same figures, with text that a browser's own font draws.
matplotlib.rcParams.update(
    {"svg.hashsalt": "automl-waiter", "svg.fonttype": "none", "font.family": "sans-serif", "figure.facecolor": "white"}
)
_METADATA = {"Date": None, "Creator": None}
_GREY = "#777777"


def pareto(results: Result, path: Path) -> None:
    """Draw calls against mean lag for every policy."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 5))
    fixed = [it for name, it in results.items() if isinstance(PEERS[name], Fixed)]
    axes.plot([it.calls for it in fixed], [it.lag for it in fixed], color=_GREY, linestyle="--")
    for name, it in results.items():
        axes.plot(it.calls, it.lag, marker="s", color="C0" if name == DEFAULT else "C3", markersize=7)
        axes.annotate(name, (it.calls, it.lag), xytext=(6, 6), **_NOTE, ha="right" if it.calls > 1000 else "left")
    axes.set(xscale="log", yscale="log", xlabel="calls a job", ylabel="mean lag after its end, in seconds")
    axes.set_title("The base: down and to the left is better")
    axes.grid(visible=True, which="major", alpha=0.3)
    _save(figure, path)


def pace(job: Timeline, path: Path) -> None:
    """Draw the delays of the default over the life of one job, and those of a poll every 30 s."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 3.6))
    for name, poll, style in (
        (DEFAULT, PEERS[DEFAULT], {"color": "C0", "marker": "."}),
        ("every 30 s", Fixed(30), {"color": "C3", "linestyle": "--"}),
    ):
        times = polls(job, poll)
        delays = [later - earlier for earlier, later in itertools.pairwise(times)]
        axes.plot([second / 60 for second in times[:-1]], delays, label=f"{name}: {len(times)} polls", **style)
    for second, _, phase in job.entries[1:]:
        axes.axvline(second / 60, color=_GREY, linewidth=0.7)
        axes.annotate(
            phase, (second / 60, 1), (3, -4), xycoords=("data", "axes fraction"), rotation=90, va="top", **_NOTE
        )
    axes.set(xlabel="the job's age, in minutes", ylabel="seconds to the next poll", ylim=(0, None))
    axes.legend(loc="lower center")
    _save(figure, path)


_NOTE = {"textcoords": "offset points", "fontsize": 8}


def _save(figure: matplotlib.figure.Figure, path: Path) -> None:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path, metadata=_METADATA)
    pyplot.close(figure)
