"""Which rate to try next: bracket, bisect, confirm (logic).

A pure function of what was tried, so that a sweep that is taken up again goes on where it stopped, and an evaluator finds the same
answer in the same probes. It follows MLPerf's search: the highest rate that holds, lowered by a step when the long run fails.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

DIGITS = 4
"""Significant digits of a rate: it stands in the name of a folder."""

Why = Literal["found", "ceiling", "floor"]


@dataclass(frozen=True)
class SearchPlan:
    """Where to begin, how exact to be, and where to give up; rates per second."""

    start: float
    precision: float = 0.1
    lowest: float = 0.001
    highest: float = 100_000.0


@dataclass(frozen=True)
class Tried:
    """A rate and whether the service level held; `confirm` for a full-length run."""

    rate: float
    meets: bool
    confirm: bool = False


@dataclass(frozen=True)
class Probe:
    """Try this rate next."""

    rate: float
    confirm: bool = False


@dataclass(frozen=True)
class Done:
    """`rate` is the highest one confirmed, None when even the lowest missed; with `ceiling` the true one may be higher."""

    why: Why
    rate: float | None


@dataclass(frozen=True)
class Bracket:
    """The highest rate that held and the lowest that did not, None where there is none; `confirmed` says whether `low` held in a full-length run."""

    low: float | None
    high: float | None
    confirmed: bool


def bracket(tried: Sequence[Tried]) -> Bracket:
    """Where the capacity lies by what was tried. A rate that held above one that missed does not count: load only makes it worse."""
    high = min((each.rate for each in tried if not each.meets), default=None)
    held = [each for each in tried if each.meets and (high is None or each.rate < high)]
    low = max((each.rate for each in held), default=None)
    return Bracket(low, high, confirmed=any(each.confirm and each.rate == low for each in held))


def next_step(tried: Sequence[Tried], plan: SearchPlan) -> Probe | Done:
    """Double or halve to a bracket, bisect it on a log scale, confirm its lower end, step down while that fails."""
    now = bracket(tried)
    if now.high is not None and now.high <= plan.lowest:
        return Done("floor", None)
    probe = _narrow(now, tried, plan)
    if probe is not None:
        return probe
    if now.low is not None and not now.confirmed:
        return Probe(now.low, confirm=True)
    return Done("ceiling" if now.high is None else "found", now.low)


def _narrow(now: Bracket, tried: Sequence[Tried], plan: SearchPlan) -> Probe | None:
    """The probe that narrows the bracket, None when it is narrow enough to confirm its lower end."""
    step, low, high = 1 + plan.precision, now.low, now.high
    if high is None:
        wanted = plan.start if low is None else low * 2
        return Probe(rounded(min(max(wanted, plan.lowest), plan.highest))) if low is None or low < plan.highest else None
    if any(each.confirm and each.rate == high for each in tried):  # a full-length run failed where a short one had not
        down = rounded(max(high / step, plan.lowest))
        return Probe(down, confirm=True) if low is None or low < down else None
    if low is None:
        return Probe(rounded(max(high / 2, plan.lowest)))
    middle = rounded(math.sqrt(high * low))
    return Probe(middle) if high / low > step and low < middle < high else None


def rounded(rate: float) -> float:
    return float(f"{rate:.{DIGITS}g}")
