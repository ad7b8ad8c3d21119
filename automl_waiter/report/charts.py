"""The charts of a document, as inline SVG: periods as bars, and values over time."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import datetime

from automl_waiter._model.text import clean, format_duration
from automl_waiter.report.document import Bar, Plot

_WIDTH = 900.0
_LABELS = 230.0
_DURATIONS = 90.0
_ROW = 26.0
_AXIS = 24.0

_HEIGHT = 260.0
_LEFT = 70.0
_TICKS = 5


def bars_svg(bars: Sequence[Bar]) -> str:
    """Draw periods as bars, one below another, each with its duration."""
    begin, end = min(bar.begin for bar in bars), max(bar.end for bar in bars)
    axis = _Axis(begin, end, _LABELS, _WIDTH - _DURATIONS)
    parts = []
    for row, bar in enumerate(bars):
        y = row * _ROW
        x, width = axis.x(bar.begin), max(2.0, axis.x(bar.end) - axis.x(bar.begin))
        kind = "bar" if bar.is_sure else "unsure"
        lasted = format_duration((bar.end - bar.begin).total_seconds())
        parts += [
            f'<text x="0" y="{y + 17:.0f}">{escaped(bar.label)}</text>',
            f'<rect class="{kind}" x="{x:.1f}" y="{y + 5:.0f}" width="{width:.1f}" height="16" rx="2"/>',
            f'<text x="{x + width + 6:.1f}" y="{y + 17:.0f}" class="faint">{lasted}</text>',
        ]
    height = len(bars) * _ROW
    return _svg(height + _AXIS, "how long each phase lasted", [*parts, *axis.ticks(height)])


def plot_svg(plot: Plot) -> str:
    """Draw values over time as points, and the best so far as a line."""
    points = sorted(plot.points, key=lambda point: point.at)
    axis = _Axis(points[0].at, points[-1].at, _LEFT, _WIDTH - 20)
    values = [point.value for point in points]
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin
    bottom = _HEIGHT - _AXIS

    def y(value: float) -> float:
        return 8 + (bottom - 8) * (high - value) / (high - low)

    parts = []
    for value in _round_values(low, high):
        parts += [
            f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>',
            f'<text class="faint" x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>',
        ]
    best = list(itertools.accumulate(values, min if plot.is_minimized else max))
    path = f"M{axis.x(points[0].at):.1f} {y(best[0]):.1f}"
    for point, value in zip(points[1:], best[1:], strict=True):
        path += f" H{axis.x(point.at):.1f} V{y(value):.1f}"
    parts.append(f'<path class="best" d="{path}"/>')
    for point in points:
        title = f"{point.label}: {point.value:g}, {point.at:%H:%M:%S} UTC"
        parts.append(
            f'<circle class="point" cx="{axis.x(point.at):.1f}" cy="{y(point.value):.1f}" r="4">'
            f"<title>{escaped(title)}</title></circle>"
        )
    return _svg(_HEIGHT, plot.title, [*parts, *axis.ticks(bottom)])


class _Axis:
    """A time axis from left to right."""

    def __init__(self, begin: datetime, end: datetime, left: float, right: float) -> None:
        self._begin = begin
        self._seconds = max(1.0, (end - begin).total_seconds())
        self._left = left
        self._right = right

    def x(self, at: datetime) -> float:
        return self._left + (self._right - self._left) * (at - self._begin).total_seconds() / self._seconds

    def ticks(self, y: float) -> Iterator[str]:
        """Yield the axis line and its labels: the time since its begin."""
        yield f'<line class="axis" x1="{self._left}" x2="{self._right}" y1="{y:.0f}" y2="{y:.0f}"/>'
        for number in range(_TICKS):
            share = number / (_TICKS - 1)
            x = self._left + (self._right - self._left) * share
            anchor = "start" if number == 0 else "end" if number == _TICKS - 1 else "middle"
            label = f"{self._begin:%H:%M} UTC" if number == 0 else "+" + format_duration(self._seconds * share)
            yield f'<text class="faint" x="{x:.1f}" y="{y + 18:.0f}" text-anchor="{anchor}">{label}</text>'


def _round_values(low: float, high: float) -> list[float]:
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _svg(height: float, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="{escaped(label)}">{"".join(parts)}</svg>'
    )


def escaped(text: object) -> str:
    """Return a text as one line with its HTML escaped."""
    return html.escape(clean(text))
