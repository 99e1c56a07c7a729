"""Percentiles of a dependent series, resampled in blocks (pure functions).

Moving-block bootstrap (Kuensch, Annals of Statistics 17, 1989): successive measurements are drawn together, so that what makes a
slow request follow a slow one stays in the resamples. Block length n^(1/3), the rate that is best for quantiles and variances.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bench.statistics.percentiles import Interval

RESAMPLES = 1000
AT_ONCE = 1_000_000
"""Values drawn at a time: what fits into some 20 MB."""

Floats = npt.NDArray[np.float64]


def resampled_percentiles(series: Floats, shares: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Percentiles of `resamples` resamples of a non-empty series in the order of time; one row per resample, a column per share."""
    generator = np.random.Generator(np.random.PCG64(seed))
    count = len(series)
    length = max(1, round(count ** (1 / 3)))
    blocks, within = -(-count // length), np.arange(length)
    found = np.empty((resamples, len(shares)))
    for first in range(0, resamples, rows := max(1, AT_ONCE // count)):
        some = found[first : first + rows]
        starts = generator.integers(0, count - length + 1, size=(len(some), blocks, 1))
        drawn = series[(starts + within).reshape(len(some), -1)[:, :count]]
        some[:] = np.percentile(drawn, [share * 100 for share in shares], axis=1).T
    return found


def central_interval(values: Floats, *, confidence: float) -> Interval:
    """The middle part of resampled values (percentile method)."""
    low, high = np.percentile(values, [50 * (1 - confidence), 50 * (1 + confidence)])
    return float(low), float(high)
