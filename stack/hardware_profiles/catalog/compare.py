"""A catalog entry against the shipped one of the same accelerator (pure).

Finds what ratios cannot: a plausible figure that belongs to another variant.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from stack.hardware_profiles.catalog.check import THOUSAND, TWO, Finding, check, near
from stack.hardware_profiles.catalog.files import load_catalog
from stack.hardware_profiles.catalog.models import Entry, Published, unit_of

COMPARE_TOLERANCE = Decimal("0.01")
"""Sources round (1307.4 to 1300); a different part differs by more."""


@dataclass(frozen=True)
class Report:
    """What was found in one entry, and the name of the shipped entry it was compared with; None when by ratios alone."""

    findings: tuple[Finding, ...]
    shipped: str | None


def check_entry(entry: Entry) -> Report:
    """By ratios, and by comparison where the catalog has this accelerator: its name, or a name that its library reports."""
    catalog = load_catalog()
    shipped = _shipped(entry, catalog)
    if shipped is None:
        return Report(tuple(check(entry)), None)
    return Report((*check(entry, exceptions=shipped), *compare(entry, shipped, catalog.values())), shipped.name)


def _shipped(entry: Entry, catalog: Mapping[str, Entry]) -> Entry | None:
    known = catalog.get(entry.name)
    return known or next((each for each in catalog.values() if set(each.names) & set(entry.names)), None)


def compare(entry: Entry, shipped: Entry, catalog: Iterable[Entry]) -> list[Finding]:
    """Findings against the shipped entry of the same accelerator: figures beyond what its sources say."""
    others = [other for other in catalog if other.vendor == shipped.vendor and other.name != shipped.name]
    known = shipped.figures()
    found = [_beyond(field, figure, known[field], shipped, others) for field, figure in entry.figures().items() if field in known]
    if entry.ics != shipped.ics:
        found.append(Finding("ics", f"{entry.ics} where the catalog has {shipped.ics}", "export control counts each integrated circuit by itself"))
    return [finding for finding in found if finding is not None]


def _beyond(field: str, figure: Published, known: Published, shipped: Entry, others: list[Entry]) -> Finding | None:
    low, high = known.lowest, known.highest
    if figure.value is None or low is None or high is None or low * (1 - COMPARE_TOLERANCE) <= figure.value <= high * (1 + COMPARE_TOLERANCE):
        return None
    span = f"{known.value}" if low == high else f"{low} to {high}"
    found = f"{figure.value} {unit_of(field)}, where the catalog has {span} for {shipped.title} ({known.status}: {known.source})"
    return Finding(field, found, _likely_of_figure(field, figure.value, known, shipped, others))


def _likely_of_figure(field: str, value: Decimal, known: Published, shipped: Entry, others: list[Entry]) -> str:
    assert known.value is not None
    if field.startswith("peaks."):
        if near(value / known.value, TWO):
            return "twice the dense rate: likely one with structured sparsity, or of a type of half the width"
        same = [f"peaks.{dtype}" for dtype, rate in shipped.peaks.items() if f"peaks.{dtype}" != field and _same(rate, value)]
        if same:
            return f"likely {same[0]} of the same part"
    if near(value / known.value, 1 / THOUSAND) or near(value / known.value, THOUSAND):
        return "likely a slip of a thousand in the unit"
    same_figure = [other for other in others if field in other.figures() and _same(other.figures()[field], value)]
    # A variant of the same family first: those are what gets mixed up.
    closest = min(same_figure, key=lambda other: other.family != shipped.family, default=None)
    return f"likely that of {closest.title}" if closest else "likely another part's, or derived by its source: check it against the vendor's page"


def _same(figure: Published, value: Decimal) -> bool:
    return figure.value is not None and abs(value / figure.value - 1) <= COMPARE_TOLERANCE
