"""Whether a server is past what it can bear: its queue grows and with it every wait (pure functions)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.results.samples import Samples
from bench.statistics.special import t_quantile

BLOCKS = 10
"""Neighbouring points depend on one another, means of longer blocks hardly: the interval is one of block means."""

CONFIDENCE = 0.99

SKIPPED = 1 / 3
"""The first part of a run in which requests in flight grow in any case, from none to as many as the service time asks for."""

GROWTH = 0.5
"""A trend counts when it adds at least half of the mean level over the window: statistically certain and yet tiny growth is no saturation."""

EVERY_S = 0.25
MIN_POINTS = 3 * BLOCKS


@dataclass(frozen=True)
class Point:
    """The state of a run at one moment; `ttft_ms` is the mean of the first tokens since the last point, None when none came."""

    elapsed_s: float
    in_flight: float
    ttft_ms: float | None


def saturated(points: Sequence[Point]) -> bool:
    """Whether requests in flight and time to first token both grow over the last two thirds of the run.

    Both slopes (least squares over the means of 10 blocks) must be above 0 with 99 % confidence each, and add at least half of the mean level.
    False while there are too few points to tell.
    """
    if not points:
        return False
    begin = points[0].elapsed_s + (points[-1].elapsed_s - points[0].elapsed_s) * SKIPPED
    window = [point for point in points if point.elapsed_s >= begin]
    if len(window) < MIN_POINTS:
        return False
    waits = [(point.elapsed_s, point.ttft_ms) for point in window if point.ttft_ms is not None]
    return _grows([(point.elapsed_s, point.in_flight) for point in window]) and _grows(waits)


def out_of_reach(over: int, *, planned: int, share: float) -> bool:
    """Whether `over` values above a limit already put the percentile `share` of `planned` values above it, whatever is still to come.

    The percentile lies between the sorted values at floor and ceiling of share * (planned - 1): it is above the limit for certain once the lower is.
    """
    return over >= planned - math.floor(share * (planned - 1))


def course(samples: Samples) -> list[Point]:
    """A finished run as points 0.25 s apart, up to its last arrival, where requests in flight begin to fall anyway."""
    table = samples.requests
    begun = np.sort(table["intended_ns"].to_numpy().astype(np.float64)) / 1e9
    ended = np.sort(table["closed_ns"].to_numpy().astype(np.float64)) / 1e9
    first = table["first_content_ns"].to_numpy(zero_copy_only=False).astype(np.float64) / 1e9
    start = table["intended_ns" if samples.run.workload.open_loop else "sent_ns"].to_numpy(zero_copy_only=False).astype(np.float64) / 1e9
    seen = ~np.isnan(first) & ~np.isnan(start)
    order = np.argsort(first[seen])
    at, wait_ms = first[seen][order], (first[seen] - start[seen])[order] * 1e3
    edges = np.arange(begun[0], begun[-1], EVERY_S)
    points = []
    for before, after in pairwise(edges.tolist()):
        low, high = np.searchsorted(at, [before, after], side="right")
        running = int(np.searchsorted(begun, after, side="right") - np.searchsorted(ended, after, side="right"))
        points.append(Point(after, running, float(wait_ms[low:high].mean()) if high > low else None))
    return points


def _grows(values: Sequence[tuple[float, float]]) -> bool:
    if len(values) < MIN_POINTS:
        return False
    at, level = (np.array([float(block.mean()) for block in np.array_split(np.array(column), BLOCKS)]) for column in zip(*values, strict=True))
    spread = at - at.mean()
    slope = float((spread * level).sum() / (spread**2).sum())
    residuals = level - level.mean() - slope * spread
    error = math.sqrt(float((residuals**2).sum()) / (BLOCKS - 2) / float((spread**2).sum()))
    return slope - t_quantile(CONFIDENCE, BLOCKS - 2) * error > 0 and slope * float(at[-1] - at[0]) >= GROWTH * abs(float(level.mean()))
