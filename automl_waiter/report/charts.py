"""The charts of a document, as inline SVG: periods as bars, and values over time.

Positions from left to right are percentages, so that a chart fits every width and its text keeps its size.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime

from automl_waiter._model.text import clean
from automl_waiter.report.document import Bar, Plot
from automl_waiter.report.ticks import time_ticks, value_ticks

_ROW = 38.0
_AXIS = 24.0
_HEIGHT = 260.0


def bars_svg(bars: Sequence[Bar], title: str) -> str:
    """Draw periods as bars, one below another, each under its name and its duration."""
    axis = _Axis(min(bar.begin for bar in bars), max(bar.end for bar in bars))
    height = len(bars) * _ROW
    parts = list(axis.drawn(height))
    for row, bar in enumerate(bars):
        y = row * _ROW
        kind = "bar" if bar.is_sure else "unsure"
        left, right = axis.x(bar.begin), axis.x(bar.end)
        duration = f'<tspan class="faint" dx="6">{escaped(bar.duration)}</tspan>'
        parts += [
            f'<text x="0" y="{y + 14:.0f}">{escaped(bar.label)}{duration}</text>',
            f'<rect class="{kind}" x="{left:.2f}%" y="{y + 19:.0f}" width="{right - left:.2f}%" height="12" rx="2"/>',
        ]
    return _svg(height + _AXIS, title, parts)


def plot_svg(plot: Plot) -> str:
    """Draw values over time as points, and the best so far as a line."""
    points = sorted(plot.points, key=lambda point: point.at)
    axis = _Axis(points[0].at, points[-1].at)
    values = [point.value for point in points]
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin
    bottom = _HEIGHT - _AXIS

    def y(value: float) -> float:
        return 8 + (bottom - 8) * (high - value) / (high - low)

    parts = list(axis.drawn(bottom))
    for value in value_ticks(low, high):
        parts += [
            f'<line class="axis" x1="0" x2="100%" y1="{y(value):.1f}" y2="{y(value):.1f}"/>',
            f'<text class="faint" x="-8" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>',
        ]
    best = list(itertools.accumulate(values, min if plot.is_minimized else max))
    # The corners of the line: the first point, each improvement, and the last point.
    improved = [n for n in range(len(points)) if n == 0 or best[n] != best[n - 1]]
    corners = [(points[n].at, best[n]) for n in (*improved, -1)]
    for (begin, value), (end, following) in itertools.pairwise(corners):
        x = axis.x(end)
        parts += [
            f'<line class="best" x1="{axis.x(begin):.2f}%" x2="{x:.2f}%" y1="{y(value):.1f}" y2="{y(value):.1f}"/>',
            f'<line class="best" x1="{x:.2f}%" x2="{x:.2f}%" y1="{y(value):.1f}" y2="{y(following):.1f}"/>',
        ]
    for point in points:
        title = f"{point.label}: {point.value:g}, {point.at:%H:%M:%S} UTC"
        parts.append(
            f'<circle class="point" cx="{axis.x(point.at):.2f}%" cy="{y(point.value):.1f}" r="4">'
            f"<title>{escaped(title)}</title></circle>"
        )
    return _svg(_HEIGHT, plot.title, parts)


class _Axis:
    """A time axis over the whole width."""

    def __init__(self, begin: datetime, end: datetime) -> None:
        self._begin = begin
        self._end = end
        self._seconds = max(1.0, (end - begin).total_seconds())

    def x(self, at: datetime) -> float:
        """Return the place of a time, in percent."""
        return 100 * (at - self._begin).total_seconds() / self._seconds

    def drawn(self, y: float) -> Iterator[str]:
        """Yield the axis at the height `y`, and its ticks."""
        yield f'<line class="axis" x1="0" x2="100%" y1="{y:.0f}" y2="{y:.0f}"/>'
        for at, label in time_ticks(self._begin, self._end):
            x = self.x(at)
            anchor = "start" if x < 4 else "end" if x > 96 else "middle"
            yield f'<line class="axis" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{y + 4:.0f}"/>'
            yield f'<text class="faint" x="{x:.2f}%" y="{y + 18:.0f}" text-anchor="{anchor}">{label}</text>'


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{height:.0f}" role="img" '
        f'aria-label="{escaped(label)}">{"".join(parts)}</svg>'
    )


def escaped(text: object) -> str:
    """Return a text as one line with its HTML escaped."""
    return html.escape(clean(text))
