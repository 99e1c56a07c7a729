"""Distribution functions that need no scipy: incomplete beta, binomial, Student's t (pure functions).

The regularised incomplete beta function is evaluated by its continued fraction (DLMF 8.17.22) with Lentz's method; its relative
error is about 1e-13 at small arguments and grows to about 1e-9 at a million samples.
"""

import math
from functools import lru_cache

_TINY = 1e-300
_PRECISION = 1e-15
_MOST_TERMS = 100_000


def regularised_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) for 0 <= x <= 1 and positive a, b."""
    if not 0 <= x <= 1 or a <= 0 or b <= 0:
        raise ValueError(f"regularised_beta needs 0 <= x <= 1 and positive a and b, not {x}, {a}, {b}")
    if x in (0.0, 1.0):
        return x
    # The fraction converges fast on this side of the mean; I_x(a, b) = 1 - I_{1-x}(b, a) gives the other (DLMF 8.17.4).
    if x > (a + 1) / (a + b + 2):
        return 1.0 - regularised_beta(1.0 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _continued_fraction(x, a, b) / a


def _continued_fraction(x: float, a: float, b: float) -> float:
    """1/(1 + d1/(1 + d2/(1 + ...))) with the coefficients of DLMF 8.17.23, by the modified Lentz method."""
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    value = d
    for m in range(1, _MOST_TERMS):
        for term in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1.0 + term * d
            c = 1.0 + term / c
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = c if abs(c) > _TINY else _TINY
            change = c * d
            value *= change
        if abs(change - 1.0) < _PRECISION:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge at {x}, {a}, {b}")


def binomial_cdf(most: int, count: int, share: float) -> float:
    """P(X <= most) for X ~ Binomial(count, share): I_{1-share}(count - most, most + 1) (DLMF 8.17.5)."""
    if most < 0:
        return 0.0
    if most >= count:
        return 1.0
    return regularised_beta(1.0 - share, count - most, most + 1)


def t_cdf(t: float, freedom: float) -> float:
    """P(T <= t) for Student's t with `freedom` degrees of freedom, which need not be whole."""
    tail = 0.5 * regularised_beta(freedom / (freedom + t * t), freedom / 2, 0.5)
    return tail if t < 0 else 1.0 - tail


@lru_cache(maxsize=1024)
def t_quantile(share: float, freedom: float) -> float:
    """The t with P(T <= t) = `share`, by bisection, to 12 significant digits (so that it is the same on every machine)."""
    if not 0 < share < 1 or freedom <= 0:
        raise ValueError(f"t_quantile needs 0 < share < 1 and positive freedom, not {share}, {freedom}")
    if share == 0.5:
        return 0.0
    if share < 0.5:
        return -t_quantile(1.0 - share, freedom)

    def tail(t: float) -> float:
        return 0.5 * regularised_beta(freedom / (freedom + t * t), freedom / 2, 0.5)

    low, high = 0.0, 1.0
    while tail(high) > 1.0 - share:
        low, high = high, high * 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if tail(middle) > 1.0 - share else (low, middle)
    return float(f"{middle:.12g}")
