"""SVG plots from numbers (logic): no script, colours from the page's style sheet, so that they follow its dark and print modes.

A `Plot` fills the width it is given while its text keeps the size of the page's: positions are shares of the frame, and what is
drawn inside is stretched without its strokes. Numbers become whole units of a fixed grid, so equal numbers give equal bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

GRID_X, GRID_Y = 2000, 1000
"""Units of the stretched grid: finer than the pixels of a wide screen."""

BAR_WIDTH, BAR_STEP = 360, 36
MAX_POINTS = 240
"""Steps drawn of a distribution; more cannot be seen at this size."""

SMALLEST_AXIS = 1e-9
"""Where an axis ends when every value is zero."""

Values = Sequence[float] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bar:
    """One bar; `shown` is its value in words, `tone` picks the colour: good, bad, warn or plain."""

    label: str
    value: float
    shown: str
    tone: str = "plain"


@dataclass(frozen=True)
class Axis:
    """From zero to `end`, with the values at which a line and its text stand."""

    label: str
    end: float
    ticks: tuple[tuple[float, str], ...]

    @classmethod
    def up_to(cls, top: float, label: str = "", *, count: int = 5, tight: bool = False) -> Self:
        """Round ticks; the axis ends at the last of them, or at `top` when `tight`."""
        ticks = nice_ticks(top, count)
        end = max(top, SMALLEST_AXIS) if tight else ticks[-1]
        return cls(label, end, tuple((tick, tick_text(tick)) for tick in ticks if tick <= end * (1 + 1e-9)))

    @classmethod
    def shares(cls) -> Self:
        """From 0 to 100 %."""
        return cls("", 1.0, tuple((share, f"{share:.0%}".replace("%", " %")) for share in (0.0, 0.5, 0.9, 1.0)))


@dataclass
class Plot:
    """A frame with two axes; marks are drawn in the order in which they are added."""

    title: str
    x: Axis
    y: Axis
    tall: bool = False
    _behind: list[Markup] = field(default_factory=list)
    _inside: list[Markup] = field(default_factory=list)
    _above: list[Markup] = field(default_factory=list)

    def band(self, begin: float, end: float) -> None:
        """Shade a stretch of the horizontal axis."""
        left, right = (min(max(value / self.x.end, 0.0), 1.0) for value in (begin, end))
        self._behind.append(Markup('<rect class="band" x="{}" y="0" width="{}" height="100%"/>').format(_percent(left), _percent(right - left)))

    def mark(self, at: float, text: str, *, row: int = 0) -> None:
        """A dashed vertical line with a word at its top; `row` moves the word down where lines stand close."""
        if at > self.x.end:
            return
        share = at / self.x.end
        anchor, shift = ("end", -4) if share > 0.8 else ("start", 4)
        self._above.append(Markup('<line class="mark" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(_percent(share)))
        words = '<text class="marked" x="{}" y="0" dx="{}" dy="{}" text-anchor="{}">{}</text>'
        self._above.append(Markup(words).format(_percent(share), shift, 12 + 14 * row, anchor, text))  # noqa: S704 - a constant of ours

    def label(self, x: float, y: float, text: str) -> None:
        """A word beside a point."""
        share = x / self.x.end
        anchor, shift = ("end", -7) if share > 0.75 else ("start", 7)
        words = '<text class="marked" x="{}" y="{}" dx="{}" dy="-5" text-anchor="{}">{}</text>'
        self._above.append(Markup(words).format(_percent(share), _percent(1 - y / self.y.end), shift, anchor, text))  # noqa: S704 - a constant of ours

    def line(self, xs: Values, ys: Values, look: str) -> None:
        """Straight lines from point to point."""
        self._path(f"line {look}", "M" + "L".join(f"{x} {y}" for x, y in self._points(xs, ys)))

    def steps(self, xs: Values, ys: Values, look: str) -> None:
        """A line that keeps each value until the next one's place."""
        points = self._points(xs, ys)
        self._path(f"line {look}", f"M{points[0][0]} {points[0][1]}" + "".join(f"H{x}V{y}" for x, y in points[1:]))

    def area(self, xs: Values, ys: Values, look: str) -> None:
        """The same, filled down to zero."""
        points = self._points(xs, ys)
        outline = f"M{points[0][0]} {GRID_Y}V{points[0][1]}" + "".join(f"H{x}V{y}" for x, y in points[1:])
        self._path(f"area {look}", f"{outline}V{GRID_Y}Z")

    def dots(self, xs: Values, ys: Values, look: str) -> None:
        """One mark per point: round, or square for `look` square."""
        self._path(f"dots {look}", "".join(f"M{x} {y}h0" for x, y in self._points(xs, ys)))

    def spans(self, begins: Values, ends: Values, ys: Values, look: str) -> None:
        """Horizontal strokes, each from begin to end at its height."""
        left, right = self._points(begins, ys), self._points(ends, ys)
        self._path(f"span {look}", "".join(f"M{x} {y}H{end}" for (x, y), (end, _) in zip(left, right, strict=True)))

    def svg(self) -> Markup:
        """The drawing as one element."""
        parts = [Markup('<svg class="plot{}" role="img" aria-label="{}"><title>{}</title>').format(" tall" if self.tall else "", self.title, self.title)]
        parts += self._behind
        for value, text in self.y.ticks:
            y = _percent(1 - value / self.y.end)
            parts.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(y))
            parts.append(Markup('<text class="tick" x="0" y="{}" dx="-6" dy="4" text-anchor="end">{}</text>').format(y, text))
        for value, text in self.x.ticks:
            x = _percent(value / self.x.end)
            parts.append(Markup('<line class="grid" x1="{0}" x2="{0}" y1="0" y2="100%"/>').format(x))
            parts.append(Markup('<text class="tick" x="{}" y="100%" dy="16" text-anchor="middle">{}</text>').format(x, text))
        parts.append(Markup('<text class="tick" x="50%" y="100%" dy="32" text-anchor="middle">{}</text>').format(self.x.label))
        parts.append(Markup('<text class="tick" x="0" y="0" dx="-40" dy="-10">{}</text>').format(self.y.label))
        parts.append(Markup('<svg viewBox="0 0 {} {}" preserveAspectRatio="none">').format(GRID_X, GRID_Y))
        parts += [*self._inside, Markup("</svg>"), *self._above, Markup("</svg>")]
        return Markup("").join(parts)

    def _path(self, look: str, path: str) -> None:
        self._inside.append(Markup('<path class="{}" d="{}"/>').format(look, path))

    def _points(self, xs: Values, ys: Values) -> list[tuple[int, int]]:
        across = np.clip(np.asarray(xs, dtype=np.float64) / self.x.end, 0, 1) * GRID_X
        up = (1 - np.clip(np.asarray(ys, dtype=np.float64) / self.y.end, 0, 1)) * GRID_Y
        return list(zip(np.rint(across).astype(int).tolist(), np.rint(up).astype(int).tolist(), strict=True))


def ecdf_points(values: Values) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Places and heights of an empirical distribution function, thinned to MAX_POINTS evenly spaced ranks; the largest value stays."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    ranks = np.arange(1, count + 1) if count <= MAX_POINTS else np.ceil(count * np.arange(1, MAX_POINTS + 1) / MAX_POINTS).astype(int)
    return np.concatenate([ordered[:1], ordered[ranks - 1]]), np.concatenate([[0.0], ranks / count])


def bars(rows: Sequence[Bar], *, title: str, end: float | None = None) -> Markup:
    """Horizontal bars from zero to `end` (the largest value when not given), each with its value in words."""
    longest = end or max((row.value for row in rows), default=0.0) or 1.0
    head = '<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>'
    parts = [Markup(head).format(BAR_WIDTH, BAR_STEP * len(rows) + 4, title, title)]  # noqa: S704 - a constant of ours
    for index, row in enumerate(rows):
        y = index * BAR_STEP
        length = f"{max(0.0, min(1.0, row.value / longest)) * BAR_WIDTH:.1f}"
        parts.append(Markup('<text class="label" x="0" y="{}">{}</text>').format(y + 13, row.label))
        parts.append(Markup('<text class="value" x="{}" y="{}" text-anchor="end">{}</text>').format(BAR_WIDTH, y + 13, row.shown))
        parts.append(Markup('<rect class="track" x="0" y="{}" width="{}" height="10" rx="2"/>').format(y + 19, BAR_WIDTH))
        parts.append(Markup('<rect class="bar {}" x="0" y="{}" width="{}" height="10" rx="2"/>').format(row.tone, y + 19, length))
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


def nice_ticks(top: float, count: int = 5) -> list[float]:
    """From zero in steps of 1, 2 or 5 times a power of ten, about `count` of them, the last at or above `top`."""
    top = max(top, SMALLEST_AXIS)
    step = nice_step(top / count)
    return [round(step * index, 12) for index in range(math.ceil(top / step * (1 - 1e-12)) + 1)]


def nice_step(least: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def tick_text(value: float) -> str:
    """Short enough to stand beside an axis: 20000 is 20k."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / min(size, 1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:g}"


def _percent(share: float) -> str:
    return f"{share * 100:.2f}%"
