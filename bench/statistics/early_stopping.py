"""MLPerf's early-stopping rule: what a sample of some size can certify about a percentile (pure functions)."""

import math
from collections.abc import Sequence

CONFIDENCE = 0.99
"""MLPerf's confidence for early stopping (inference rules, "Early Stopping"; tolerance d = 0)."""


def certified_percentile(ordered: Sequence[float], share: float) -> float | None:
    """An upper bound of the true percentile that holds with 99 % confidence, or None below the floor of samples.

    MLPerf's rule: with t the largest number for which P(Binomial(n, 1 - share) <= t) <= 1 - 0.99, and t at least 1, the t-th
    largest sample. It assumes that samples are independent.
    """
    over = overlatency_allowed(len(ordered), share)
    return float(ordered[len(ordered) - over]) if over >= 1 else None


def overlatency_allowed(count: int, share: float) -> int:
    """Most samples out of `count` that may lie above a bound which still is certified for `share`; -1 for none at all.

    P(X <= t) for X ~ Binomial(count, 1 - share) is summed term by term from 0 in logarithms; what underflows there is far too
    small to matter against 0.01. Equal to MLPerf's I_share(h, t + 1) <= 1 - c with h = count - t and d = 0.
    """
    log_over, log_under = math.log1p(-share), math.log(share)
    total, log_term = 0.0, count * log_under
    for t in range(count + 1):
        total += math.exp(log_term)
        if total > 1 - CONFIDENCE:
            return t - 1
        if t < count:
            log_term += math.log((count - t) / (t + 1)) + log_over - log_under
    return count


def certification_floor(share: float) -> int:
    """Fewest samples that can certify the percentile: 64 for p90, 130 for p95, 662 for p99."""
    low, high = 1, 2
    while overlatency_allowed(high, share) < 1:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if overlatency_allowed(middle, share) >= 1:
            high = middle
        else:
            low = middle + 1
    return low
