"""Intervals for a share of successes (pure functions)."""

import math
from statistics import NormalDist

from bench.statistics.percentiles import Interval


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> Interval | None:
    """Wilson's score interval for a proportion (Wilson 1927; Brown, Cai and DasGupta 2001); None without trials."""
    if trials == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / trials / 4)
    # At 0 and at all successes the bound is exactly 0 or 1; rounding must not say otherwise.
    return 0.0 if successes == 0 else centre - half, 1.0 if successes == trials else centre + half


def proportion_difference_interval(a: tuple[int, int], b: tuple[int, int], *, confidence: float = 0.95) -> Interval | None:
    """Interval of share(b) - share(a), each as (successes, trials): Newcombe 1998, method 10 (from the two Wilson intervals)."""
    of_a, of_b = wilson_interval(*a, confidence=confidence), wilson_interval(*b, confidence=confidence)
    if of_a is None or of_b is None:
        return None
    share_a, share_b = a[0] / a[1], b[0] / b[1]
    difference = share_b - share_a
    below = math.hypot(share_b - of_b[0], of_a[1] - share_a)
    above = math.hypot(of_b[1] - share_b, share_a - of_a[0])
    return difference - below, difference + above
