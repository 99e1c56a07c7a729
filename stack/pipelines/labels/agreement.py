"""How far labelers agree beyond chance, with intervals (pure).

Each coefficient is a function of a few sums over records. So a record counts only by its pattern of votes, a resampled data set is a
draw of how often each pattern occurs, and all sums are of whole numbers: exact, in any order. Time grows with resamples x patterns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stack.pipelines.labels.majority import tallies
from stack.pipelines.labels.votes import ABSTAINS, Counts, Floats, Votes, group_rows

RESAMPLES = 1000
"""Enough for the 2.5 % and 97.5 % percentiles (B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, section 12.4)."""

MOST_UNDEFINED = 0.05
"""Share of resamples without a value (only one label left) above which an interval is withheld."""

CELLS = 4_000_000
"""Resamples are drawn in lots of about so many numbers, for memory."""

Statistic = Callable[[Floats], Floats]
"""From sums (resamples x features) to a value per resample, NaN where it is undefined."""


@dataclass(frozen=True)
class Agreement:
    """1 is full agreement, 0 what chance gives; `low` and `high` bound its 95 % percentile bootstrap interval. `records` were compared.

    `value` is None where chance alone must agree (one label only) or nothing can be compared; the interval is None then, with fewer than
    two records, when too many resamples have no value, and when all have the same one, as without any disagreement: a point would claim
    a certainty that nobody has. With few records it is too narrow.
    """

    value: float | None
    low: float | None
    high: float | None
    records: int


def cohen_kappa(votes: Votes, first: str, second: str, *, seed: int = 0, resamples: int = RESAMPLES) -> Agreement:
    """Of two labelers, over the records on which both voted."""
    k = len(votes.labels)
    pair = votes.pattern_codes[:, [votes.labelers.index(first), votes.labelers.index(second)]].astype(np.int64)
    both = (pair != ABSTAINS).all(axis=1)
    cells = np.bincount(pair[both] @ [k, 1], votes.patterns.counts[both], k * k).astype(np.int64)
    return cohen_kappa_of_table(cells.reshape(k, k), seed=seed, resamples=resamples)


def cohen_kappa_of_table(table: Counts, *, seed: int = 0, resamples: int = RESAMPLES) -> Agreement:
    """(po - pe) / (1 - pe) (J. Cohen, Educ. Psychol. Meas. 20, 1960, 37-46); `table` (k x k): records by label of the first and the second."""
    k = len(table)
    left, right = np.nonzero(table)
    one_hot = np.eye(k)
    features = np.column_stack([(left == right).astype(np.float64), one_hot[left], one_hot[right]])

    def kappa(sums: Floats) -> Floats:
        n = table.sum()
        agreed, by_chance = sums[:, 0], (sums[:, 1 : k + 1] * sums[:, k + 1 :]).sum(axis=1)
        return _ratio(agreed * n - by_chance, n * n - by_chance)

    return _with_interval(table[left, right], features, kappa, seed, resamples)


def fleiss_kappa(votes: Votes, *, seed: int = 0, resamples: int = RESAMPLES) -> Agreement:
    """Of all labelers, over the records on which all voted (J. L. Fleiss, Psychological Bulletin 76, 1971, 378-382)."""
    complete = (votes.pattern_codes != ABSTAINS).all(axis=1)
    return fleiss_kappa_of_counts(tallies(votes)[complete], votes.patterns.counts[complete], seed=seed, resamples=resamples)


def fleiss_kappa_of_counts(tally: Counts, counts: Counts | None = None, *, seed: int = 0, resamples: int = RESAMPLES) -> Agreement:
    """From `tally` (rows x k): how many raters, the same number in each row, gave each label; `counts`: records per row, 1 each without."""
    raters = int(tally[0].sum()) if len(tally) else 0
    if raters < 2:
        return Agreement(None, None, None, 0)
    rows, weights = _merged(tally, counts)
    features = np.column_stack([(rows * (rows - 1)).sum(axis=1), rows]).astype(np.float64)

    def kappa(sums: Floats) -> Floats:
        n = weights.sum() * raters
        # po = agreeing / (n (raters - 1)) and pe = squares / n², both times n².
        observed, by_chance = sums[:, 0] * n / (raters - 1), (sums[:, 1:] ** 2).sum(axis=1)
        return _ratio(observed - by_chance, n * n - by_chance)

    return _with_interval(weights, features, kappa, seed, resamples)


def krippendorff_alpha(votes: Votes, *, seed: int = 0, resamples: int = RESAMPLES) -> Agreement:
    """Of any number of labelers, with gaps, over the records with two votes or more."""
    return krippendorff_alpha_of_counts(tallies(votes), votes.patterns.counts, seed=seed, resamples=resamples)


def krippendorff_alpha_of_counts(tally: Counts, counts: Counts | None = None, *, seed: int = 0, resamples: int = RESAMPLES) -> Agreement:
    """Nominal alpha = 1 - Do/De (K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011); `tally` (rows x k): votes for each label.

    `counts`: records per row, 1 each without. The interval resamples records, as for the kappas; Krippendorff's own resamples pairs.
    """
    rows, weights = _merged(tally, counts)
    size = rows.sum(axis=1)
    rows, weights, size = rows[size > 1], weights[size > 1], size[size > 1]
    sizes = np.unique(size)
    disagreeing = (size**2 - (rows**2).sum(axis=1))[:, None] * (size[:, None] == sizes)
    features = np.column_stack([disagreeing, rows]).astype(np.float64)

    def alpha(sums: Floats) -> Floats:
        observed = (sums[:, : len(sizes)] / (sizes - 1)).sum(axis=1)
        totals = sums[:, len(sizes) :]
        n = totals.sum(axis=1)
        expected = n * n - (totals**2).sum(axis=1)
        return _ratio(expected - (n - 1) * observed, expected)

    return _with_interval(weights, features, alpha, seed, resamples)


def _merged(tally: Counts, counts: Counts | None) -> tuple[Counts, Counts]:
    """Equal rows of tallies once, with their records together: who voted what does not matter."""
    groups = group_rows(tally, int(tally.max(initial=0)) + 1)
    merged: Counts = np.bincount(groups.of_row, counts, len(groups.first)).astype(np.int64)
    return tally[groups.first], merged


def _with_interval(counts: Counts, features: Floats, statistic: Statistic, seed: int, resamples: int) -> Agreement:
    """The statistic of all records, `counts` (p) of each pattern with `features` (p x f), and the percentiles over resampled records."""
    n = int(counts.sum())
    if not n:
        return Agreement(None, None, None, 0)
    value = float(statistic(counts[None].astype(np.float64) @ features)[0])
    if np.isnan(value):
        return Agreement(None, None, None, n)
    draw = np.random.default_rng(seed)
    lot = max(1, CELLS // len(counts))
    shares = counts / n
    sizes = [min(lot, resamples - start) for start in range(0, resamples, lot)] if n > 1 else []
    lots = [statistic(draw.multinomial(n, shares, size).astype(np.float64) @ features) for size in sizes]
    values = np.concatenate([np.zeros(0), *lots])
    defined = values[~np.isnan(values)]
    if not len(defined) or len(defined) < (1 - MOST_UNDEFINED) * resamples:
        return Agreement(value, None, None, n)
    low, high = np.quantile(defined, [0.025, 0.975])
    return Agreement(value, float(low), float(high), n) if low < high else Agreement(value, None, None, n)


def _ratio(above: Floats, below: Floats) -> Floats:
    found: Floats = np.divide(above, below, out=np.full(len(below), np.nan), where=below != 0)
    return found
