"""Percentiles, and intervals for them that assume nothing about the distribution (pure functions)."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from bench.statistics.special import binomial_cdf

Interval = tuple[float, float]


def mean(values: Sequence[float]) -> float:
    """Correctly rounded sum over the count: the same to the last bit on every machine."""
    return math.fsum(values) / len(values)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between the two nearest of the ascending `ordered` (numpy's default, R type 7)."""
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (ordered[above] - ordered[below]) * (position - below))


def percentile_interval(ordered: Sequence[float], share: float, *, confidence: float = 0.95) -> Interval | None:
    """Two order statistics that hold the true percentile between them with at least `confidence`, or None for too few samples.

    With B ~ Binomial(n, share) the number of samples below the percentile, the l-th smallest lies above it with probability
    P(B < l) and the u-th below it with P(B >= u); each is kept to half of 1 - confidence (David and Nagaraja, Order Statistics,
    section 7.1). It assumes independent samples of one distribution, of any form.
    """
    ranks = interval_ranks(len(ordered), share, confidence=confidence)
    return None if ranks is None else (float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]))


def interval_ranks(count: int, share: float, *, confidence: float = 0.95) -> tuple[int, int] | None:
    """The ranks l < u, counted from 1, of `percentile_interval`; None where even the extremes do not hold it."""
    tail = (1 - confidence) / 2
    # Largest l with P(B <= l - 1) <= tail; smallest u with P(B <= u - 1) >= 1 - tail.
    low = _first(count, lambda rank: binomial_cdf(rank, count, share) > tail)
    high = _first(count, lambda rank: binomial_cdf(rank - 1, count, share) >= 1 - tail)
    return (low, high) if low >= 1 and high <= count else None


def _first(count: int, holds: Callable[[int], bool]) -> int:
    """The smallest of 0 to count + 1 for which the monotonic `holds` is true."""
    low, high = 0, count + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


@lru_cache(maxsize=64)
def interval_floor(share: float, *, confidence: float = 0.95) -> int:
    """Fewest samples that give an interval: 6 for the median, 36 for p90, 72 for p95, 368 for p99 at 95 %."""
    count = 1
    while interval_ranks(count, share, confidence=confidence) is None:
        count += 1
    return count
