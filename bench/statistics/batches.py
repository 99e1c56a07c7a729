"""Batch means: what a series of one run says of its mean, and whether it stayed on one level (pure functions).

Successive measurements of a run depend on one another; means of long batches of them hardly do, so that t intervals and tests
for independent values hold for the batch means (Law, Simulation Modeling and Analysis, section 9.5.3).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.statistics.means import mean_interval, variance
from bench.statistics.percentiles import Interval, mean
from bench.statistics.special import t_quantile

BATCHES = 20
MIN_BATCHES = 10
MIN_BATCH = 5
"""Fewest values in a batch: with fewer, its mean is hardly less noisy than they are."""

SIGNIFICANCE = 0.01
BAND_TAIL = 0.0005
"""Chance that a batch of the same level leaves the band of the second half on one side."""

LEAST_SHIFT = 0.05
"""Shifts below this share of the level are not worth a word, however significant."""


@dataclass(frozen=True)
class Level:
    """Whether batch means stayed on one level: batches of a transient at the start; then the first batch after a shift, if any."""

    transient: int
    shift_at: int | None
    shift: float
    p_value: float

    @property
    def steady(self) -> bool:
        """A transient that passes leaves the rest steady; a shift does not."""
        return self.shift_at is None


def batch_means(values: Sequence[float], batches: int = BATCHES) -> list[float] | None:
    """Means of about `batches` runs of equally many successive values; the rest at the start is left out. None for too few values."""
    number = min(batches, len(values) // MIN_BATCH)
    if number < MIN_BATCHES:
        return None
    size = len(values) // number
    first = len(values) - number * size
    return [mean(values[begin : begin + size]) for begin in range(first, len(values), size)]


def batch_mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval | None:
    """t interval of the mean of a dependent series, over its batch means; None for fewer than 50 values."""
    means = batch_means(values)
    return None if means is None else mean_interval(means, confidence=confidence)


def lag1_autocorrelation(values: Sequence[float]) -> float:
    """Correlation of each value with the next; 0 for fewer than three, and for a constant series."""
    if len(values) < 3:
        return 0.0
    centre = mean(values)
    apart = [value - centre for value in values]
    spread = math.fsum(each * each for each in apart)
    return math.fsum(one * following for one, following in itertools.pairwise(apart)) / spread if spread else 0.0


def judge_level(means: Sequence[float]) -> Level:
    """Look for a transient at the start, and for a shift of level after it.

    The transient: leading batches that lie outside the prediction band of the second half (mean +- t * s * sqrt(1 + 1/m), and at
    least 5 % from its mean). The shift: Pettitt's rank test for one change point (Pettitt, Applied Statistics 28, 1979) at 1 %,
    told only where the means before and after differ by 5 %. A slow drift shows as a shift.
    """
    transient = _transient(means)
    rest = means[transient:]
    place, p_value = pettitt(rest)
    before, after = mean(rest[:place]), mean(rest[place:])
    shift = (after - before) / abs(before) if before else math.copysign(1.0, after) if after else 0.0
    shifted = p_value < SIGNIFICANCE and abs(shift) >= LEAST_SHIFT
    return Level(transient=transient, shift_at=transient + place if shifted else None, shift=shift if shifted else 0.0, p_value=p_value)


def _transient(means: Sequence[float]) -> int:
    """Leading batches outside the band of the second half; none where the whole first half is: that is a shift, not a start."""
    half = len(means) // 2
    settled = means[half:]
    level = mean(settled)
    band = max(LEAST_SHIFT * abs(level), t_quantile(1 - BAND_TAIL, len(settled) - 1) * math.sqrt(variance(settled) * (1 + 1 / len(settled))))
    return next((place for place in range(half) if abs(means[place] - level) <= band), 0)


def pettitt(values: Sequence[float]) -> tuple[int, float]:
    """Number of values before the likeliest change point, and the p-value of there being none; needs two values.

    U_t is the sum of sign(x_j - x_i) over i <= t < j; K = max |U_t|; p is about 2 exp(-6 K^2 / (n^3 + n^2)).
    """
    count = len(values)
    sums = []
    total = 0
    for place in range(count - 1):
        total += sum((other > values[place]) - (other < values[place]) for other in values)
        sums.append(abs(total))
    largest = max(sums)
    return sums.index(largest) + 1, min(1.0, 2 * math.exp(-6 * largest**2 / (count**3 + count**2)))
