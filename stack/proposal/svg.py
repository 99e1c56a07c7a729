"""Small SVG plots from numbers (logic). Colours come from the page's style sheet, so they follow its dark and print modes.

Every plot is 360 units wide: at that size its text is as large as the page's on a phone, and it scales up.
Coordinates are rounded to a tenth, so equal numbers give equal bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH = 360
LEFT, RIGHT, TOP, BOTTOM = 44, 20, 10, 38
PLOT_HEIGHT = 160
MAX_POINTS = 240
"""Steps drawn of a distribution; more cannot be seen at this size."""

SMALLEST_AXIS = 1e-9
"""Where an axis ends when every value is zero."""


@dataclass(frozen=True)
class Bar:
    """One bar; `shown` is its value in words, `tone` picks the colour: good, bad or plain."""

    label: str
    value: float
    shown: str
    tone: str = "plain"


def ecdf(values: Sequence[float], *, title: str, axis: str = "ms") -> Markup:
    """Empirical distribution function: for each point of the axis, the share of the values at or below it."""
    ticks = nice_ticks(max(values))
    end = ticks[-1]
    height = TOP + PLOT_HEIGHT + BOTTOM
    parts = [_open(title, height)]
    for share in (0.0, 0.5, 0.9, 1.0):
        y = _y(share)
        parts.append(Markup('<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(LEFT, y, WIDTH - RIGHT, y))
        parts.append(Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{} %</text>').format(LEFT - 5, _n(float(y) + 3.5), round(share * 100)))
    for tick in ticks:
        x = _x(tick, end)
        parts.append(Markup('<line class="grid" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(x, TOP, x, TOP + PLOT_HEIGHT))
        parts.append(Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(x, TOP + PLOT_HEIGHT + 14, f"{tick:g}"))
    parts.append(Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(_n((LEFT + WIDTH - RIGHT) / 2), height - 6, axis))
    parts.append(Markup('<path class="line" d="{}"/>').format(_steps(values, end)))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def bars(rows: Sequence[Bar], *, title: str, end: float | None = None) -> Markup:
    """Horizontal bars from zero to `end` (the largest value when not given), each with its value in words."""
    longest = end or max((row.value for row in rows), default=0.0) or 1.0
    step = 36
    parts = [_open(title, step * len(rows) + 4)]
    for index, row in enumerate(rows):
        y = index * step
        length = _n(max(0.0, min(1.0, row.value / longest)) * WIDTH)
        parts.append(Markup('<text class="label" x="0" y="{}">{}</text>').format(y + 13, row.label))
        parts.append(Markup('<text class="value" x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH, y + 13, row.shown))
        parts.append(Markup('<rect class="track" x="0" y="{}" width="{}" height="10" rx="2"/>').format(y + 19, WIDTH))
        parts.append(Markup('<rect class="bar {}" x="0" y="{}" width="{}" height="10" rx="2"/>').format(row.tone, y + 19, length))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def nice_ticks(top: float, count: int = 5) -> list[float]:
    """From zero in steps of 1, 2 or 5 times a power of ten, about `count` of them, the last at or above `top`."""
    top = max(top, SMALLEST_AXIS)
    raw = top / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    return [round(step * index, 12) for index in range(math.ceil(top / step * (1 - 1e-12)) + 1)]


def _steps(values: Sequence[float], end: float) -> str:
    """The path of an ECDF, thinned to MAX_POINTS evenly spaced ranks; the largest value always stays."""
    ordered = sorted(values)
    count = len(ordered)
    ranks = range(1, count + 1) if count <= MAX_POINTS else [math.ceil(count * index / MAX_POINTS) for index in range(1, MAX_POINTS + 1)]
    path = [f"M{_x(ordered[0], end)} {_y(0)}"]
    path += [f"H{_x(ordered[rank - 1], end)}V{_y(rank / count)}" for rank in ranks]
    return "".join([*path, f"H{WIDTH - RIGHT}"])


def _open(title: str, height: int) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>').format(WIDTH, height, title, title)


def _x(value: float, end: float) -> str:
    return _n(LEFT + (WIDTH - RIGHT - LEFT) * value / end)


def _y(share: float) -> str:
    return _n(TOP + PLOT_HEIGHT * (1 - share))


def _n(value: float) -> str:
    return f"{value:.1f}"
