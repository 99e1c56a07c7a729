"""A profile as one page: no network, no script, no second file."""

import math
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stack.hardware_profiles.profile import words
from stack.hardware_profiles.profile.models import Group, Profile
from stack.hardware_profiles.profile.roofline import Roof, Roofline, roofline
from stack.runtime.page import LOOK, content_policy
from stack.runtime.svg import Axis, Plot

TEMPLATES = Path(__file__).parent / "templates"
LOOKS = ("one", "two", "three", "four")
BATCHES = (1, 8, 64)
"""Decode steps drawn into the plot: a dense layer with 2-byte weights does 2 operations per weight and sequence, so 1 per byte and sequence."""

TITLES = {
    Group.GEMM: "Matrix products",
    Group.MEMORY: "Memory bandwidth",
    Group.COPIES: "Copies between host and device",
    Group.COLLECTIVES: "Collectives",
    Group.STORAGE: "Storage",
    Group.NETWORK: "Network",
}


def profile_page(profile: Profile) -> bytes:
    style = LOOK.read_text() + (TEMPLATES / "profile.css").read_text()
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(quantity=words.quantity, spread=words.spread, share=words.share, place=words.place)
    found = roofline(profile)
    page = environment.get_template("profile.html").render(
        profile=profile,
        style=Markup(style),  # noqa: S704 - our own file, not input
        csp=content_policy(style),
        groups=[(title, [result for result in profile.results if result.group is group]) for group, title in TITLES.items()],
        roofline=found,
        plot=roofline_plot(found) if found else None,
        looks=list(zip(LOOKS, found.roofs, strict=False)) if found else [],
        verdict=words.verdict(profile),
        verdicts=words.VERDICTS,
        tones=words.TONES,
    )
    return page.encode()


def roofline_plot(found: Roofline) -> Markup:
    """Both axes logarithmic. As many data types as there are looks."""
    roofs = found.roofs[: len(LOOKS)]
    intensities = [1 / 16, *(intensity for _, intensity, _ in found.points), *(roof.ridge * 2 for roof in roofs)]
    across = Log.over("operations per byte", [*intensities, float(max(BATCHES))])
    rates = [found.attainable(across.low, roof) for roof in roofs] + [roof.rate for roof in roofs] + [rate for _, _, rate in found.points]
    up = Log.over("operations/s", rates)
    plot = Plot("Roofline: attainable operations a second over operations per byte of memory", across.axis(), up.axis(), tall=True)
    for index, batch in enumerate(BATCHES):
        plot.mark(across.at(float(batch)), f"decode, batch {batch}", row=index)
    for look, roof in zip(LOOKS, roofs, strict=False):
        _draw(plot, found, roof, look, across, up)
    return plot.svg()


def _draw(plot: Plot, found: Roofline, roof: Roof, look: str, across: "Log", up: "Log") -> None:
    places = sorted({across.low, min(max(roof.ridge, across.low), across.high), across.high})
    plot.line([across.at(place) for place in places], [up.at(found.attainable(place, roof)) for place in places], look)
    own = [(intensity, rate) for name, intensity, rate in found.points if name == roof.dtype]
    plot.dots([across.at(intensity) for intensity, _ in own], [up.at(rate) for _, rate in own], f"small {look}")


class Log:
    """A logarithmic axis over whole powers of ten, drawn on a linear one."""

    def __init__(self, label: str, first: int, last: int) -> None:
        self.label, self._first, self._last = label, first, last

    @classmethod
    def over(cls, label: str, values: Sequence[float]) -> "Log":
        known = [value for value in values if value > 0]
        first, last = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
        return cls(label, first, max(last, first + 1))

    @property
    def low(self) -> float:
        return 10.0**self._first

    @property
    def high(self) -> float:
        return 10.0**self._last

    def at(self, value: float) -> float:
        return math.log10(value) - self._first if value > 0 else 0.0

    def axis(self) -> Axis:
        span = self._last - self._first
        return Axis(self.label, float(span), tuple((float(step), power_text(self._first + step)) for step in range(span + 1)))


def power_text(exponent: int) -> str:
    """A power of ten as it stands beside an axis: 100G, 0.01."""
    for size, letter in ((15, "P"), (12, "T"), (9, "G"), (6, "M")):
        if exponent >= size:
            return f"{10 ** (exponent - size)}{letter}"
    return f"{10.0**exponent:g}"
