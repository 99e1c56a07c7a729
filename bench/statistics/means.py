"""Student's t intervals: a mean over repeats, and the difference of two (pure functions)."""

import math
from collections.abc import Sequence

from bench.statistics.percentiles import Interval, mean
from bench.statistics.special import t_quantile


def variance(values: Sequence[float]) -> float:
    """Sample variance, divided by n - 1; needs two values."""
    centre = mean(values)
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval | None:
    """t interval of the mean of independent, about normal values, as results of repeated runs are; None below two."""
    if len(values) < 2:
        return None
    half = t_quantile(0.5 + confidence / 2, len(values) - 1) * math.sqrt(variance(values) / len(values))
    return mean(values) - half, mean(values) + half


def difference_interval(a: Sequence[float], b: Sequence[float], *, confidence: float = 0.95) -> Interval | None:
    """Welch's t interval of mean(b) - mean(a) (Welch 1947, degrees of freedom by Satterthwaite); None below two values on a side."""
    if len(a) < 2 or len(b) < 2:
        return None
    of_a, of_b = variance(a) / len(a), variance(b) / len(b)
    difference = mean(b) - mean(a)
    if of_a + of_b == 0:
        return difference, difference
    freedom = (of_a + of_b) ** 2 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
    half = t_quantile(0.5 + confidence / 2, freedom) * math.sqrt(of_a + of_b)
    return difference - half, difference + half
