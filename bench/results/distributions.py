"""From values to the published form of a distribution (pure functions)."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np

from bench.results.columns import Floats
from bench.results.summary import Certified, Distribution, Intervals, Metric, MissingSamples
from bench.statistics.batches import batch_mean_interval, lag1_autocorrelation
from bench.statistics.early_stopping import certification_floor, certified_percentile
from bench.statistics.percentiles import interval_floor, mean, percentile, percentile_interval

SHARES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
CERTIFIED_SHARES = {name: share for name, share in SHARES.items() if name != "p50"}
FLOORS = {name: certification_floor(share) for name, share in CERTIFIED_SHARES.items()}
INTERVAL_FLOORS = {name: interval_floor(share) for name, share in SHARES.items()}

DEPENDENT = 0.1
"""Correlation of successive values from which order statistics no longer pass for independent: at 0.1 an interval is 10 % too narrow."""


def describe(values: Floats, *, certify: bool = True, note: str = "") -> Metric:
    """The distribution of some values in the order of time; `certify` only where they can pass for independent."""
    count = len(values)
    if not count:
        return Metric(missing_samples=MissingSamples(**FLOORS) if certify else MissingSamples(), note=note)
    ordered = _plain_floats(np.sort(values))
    if certify:
        intervals, why = _intervals(_plain_floats(values), ordered)
        note = "; ".join(filter(None, (note, why)))
    return Metric(
        **_figures(ordered),
        certified=Certified(**{name: certified_percentile(ordered, share) for name, share in CERTIFIED_SHARES.items()}) if certify else Certified(),
        missing_samples=MissingSamples(**{name: max(0, floor - count) for name, floor in FLOORS.items()}) if certify else MissingSamples(),
        interval_95=intervals if certify else Intervals(),
        note=note,
    )


def plain(values: Floats, *, note: str = "") -> Distribution:
    """The figures alone, as tools without intervals report them; percentiles as numpy's default."""
    return Distribution(**_figures(_plain_floats(np.sort(values))), note=note) if len(values) else Distribution(note=note)


def weighted(values: Floats, weights: Floats, *, note: str = "") -> Distribution:
    """Each value counts by its weight; a percentile is the smallest value whose cumulative weight reaches the share."""
    values, weights = values[weights > 0], weights[weights > 0]
    if not len(values):
        return Distribution(note=note)
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    reached = np.cumsum(weights)
    total = float(reached[-1])
    at = {name: float(values[min(int(np.searchsorted(reached, share * total)), len(values) - 1)]) for name, share in SHARES.items()}
    centre = math.fsum(values * weights) / total
    return Distribution(count=len(values), mean=centre, min=float(values[0]), max=float(values[-1]), note=note, **at)


def _plain_floats(values: Floats) -> Sequence[float]:
    """The values as Python floats, one at a time: a list of a million would take 32 MB."""
    return cast(Sequence[float], np.ascontiguousarray(values).data)


def _figures(ordered: Sequence[float]) -> dict[str, float]:
    at = {name: percentile(ordered, share) for name, share in SHARES.items()}
    return {"count": len(ordered), "mean": mean(ordered), "min": ordered[0], "max": ordered[-1], **at}


def _intervals(series: Sequence[float], ordered: Sequence[float]) -> tuple[Intervals, str]:
    """The intervals that hold, and why the others are withheld."""
    count, centre = len(series), batch_mean_interval(series)
    correlation = lag1_autocorrelation(series)
    if correlation > max(DEPENDENT, 2 / math.sqrt(count)):
        return Intervals(mean=centre), f"no intervals for percentiles: successive values resemble one another (lag-1 autocorrelation {correlation:.2f})"
    short = [f"{name} ({floor})" for name, floor in INTERVAL_FLOORS.items() if count < floor]
    why = f"too few samples for the intervals of {', '.join(short)}" if short else ""
    return Intervals(mean=centre, **{name: percentile_interval(ordered, share) for name, share in SHARES.items()}), why
