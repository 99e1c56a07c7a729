"""Lengths and choices drawn from the seed's named streams: draw `index` depends on nothing that was drawn before (logic)."""

import math
from collections.abc import Callable
from statistics import NormalDist

from bench.seeds import derive
from bench.workload.lengths import Length, LogNormal, Uniform

_GRID = 4096


def share(bits: int) -> float:
    """64 random bits as a number strictly between 0 and 1: the middle of one of 2^52 equal steps."""
    return ((bits >> 12) + 0.5) * 2.0**-52


def draws(length: Length, *, seed: int, name: str) -> Callable[[int], int]:
    """The function from an index to its length, from the stream `name`."""
    match length:
        case Uniform():
            low, span = length.min, length.max - length.min + 1
            return lambda index: low + derive(seed, name, index) % span
        case LogNormal():
            at = _lognormal(length)
            return lambda index: at(share(derive(seed, name, index)))
        case _:
            return lambda _index: length


def mean_length(length: Length) -> float:
    """Expected value; of a lognormal one, after rounding and clipping, over 4096 equally likely strata."""
    match length:
        case Uniform():
            return (length.min + length.max) / 2
        case LogNormal():
            at = _lognormal(length)
            return sum(at((step + 0.5) / _GRID) for step in range(_GRID)) / _GRID
        case _:
            return float(length)


def longest(length: Length) -> int:
    """No draw is larger."""
    return length.max if isinstance(length, Uniform | LogNormal) else length


def _lognormal(length: LogNormal) -> Callable[[float], int]:
    """The length at a share of the distribution."""
    median, sigma, low, high = length.median, length.sigma, length.min, length.max
    exp, normal = math.exp, NormalDist().inv_cdf

    def at(below: float) -> int:
        drawn = round(median * exp(sigma * normal(below)))
        return low if drawn < low else min(drawn, high)

    return at
