"""Whether a label model's probabilities mean what they say, where the true label is known (pure)."""

import math
from dataclasses import dataclass

import numpy as np

from stack.pipelines.labels.votes import ABSTAINS, Codes, Counts, Floats
from stack.pipelines.statistics import Proportion, wilson

BINS = 10

DIGITS = 9
"""Probabilities that differ less are the same one: rounding must not part them into two bins."""


@dataclass(frozen=True)
class Bin:
    """Records whose probability is from `low` to `high`: the mean probability (`confidence`) beside the share of right labels."""

    low: float
    high: float
    confidence: float
    right: Proportion


@dataclass(frozen=True)
class Calibration:
    """Over the records with both a label and a true label; None where there are none.

    `brier`: mean over records of the squared distance between the beliefs in all labels and the truth, 0 to 2 (G. W. Brier, Monthly Weather
    Review 78, 1950, 1-3). `ece`: mean distance between probability and accuracy over the bins, weighted by records (C. Guo et al., On
    Calibration of Modern Neural Networks, ICML 2017, formula 3), in bins of equally many records (J. Nixon et al., Measuring Calibration in
    Deep Learning, CVPR workshops 2019). It is above 0 by chance: `ece_by_chance` is what a perfectly calibrated model would be expected to
    show with these records (normal approximation), and an `ece` near it says nothing against the model.
    """

    accuracy: Proportion
    brier: float | None
    ece: float | None
    ece_by_chance: float | None
    reliability: tuple[Bin, ...]


def measure_calibration(chosen: Codes, beliefs: Floats, truth: Codes, counts: Counts | None = None, *, bins: int = BINS) -> Calibration:
    """`chosen` (n) and `truth` (n): labels, ABSTAINS for none; `beliefs` (n x k); `counts` (n): records per row, 1 each without.

    Records of equal probability stay in one bin, so bins hold equally many only as far as that allows; empty ones are left out. Sums are
    exact: the order of the rows changes nothing.
    """
    known = (chosen != ABSTAINS) & (truth != ABSTAINS)
    weight = (np.ones(len(chosen), np.int64) if counts is None else counts)[known]
    chosen, truth, beliefs = chosen[known], truth[known], beliefs[known]
    right = np.where(chosen == truth, weight, 0)
    records, hits = int(weight.sum()), int(right.sum())
    if not records:
        return Calibration(wilson(0, 0), None, None, None, ())
    rows = np.arange(len(chosen))
    distance = (beliefs**2).sum(axis=1) - 2 * beliefs[rows, truth] + 1
    brier = math.fsum((distance * weight).tolist()) / records
    reliability = _reliability(np.round(beliefs[rows, chosen], DIGITS), weight, right, bins)
    shares = [each.right.total / records for each in reliability]
    gaps = [abs(each.right.successes / each.right.total - each.confidence) for each in reliability]
    ece = math.fsum(share * gap for share, gap in zip(shares, gaps, strict=True))
    by_chance = math.fsum(share * _mean_gap(each) for share, each in zip(shares, reliability, strict=True))
    return Calibration(wilson(hits, records), brier, ece, by_chance, reliability)


def _reliability(confidence: Floats, weight: Counts, right: Counts, bins: int) -> tuple[Bin, ...]:
    values, of_row = np.unique(confidence, return_inverse=True)
    records, hits = (np.bincount(of_row, each, len(values)).astype(np.int64) for each in (weight, right))
    # A value's place is that of its middle record.
    middle = np.cumsum(records) - records / 2
    place = np.floor(middle * bins / records.sum()).astype(np.int64)
    found = []
    for each in np.unique(place):
        at = place == each
        total = int(records[at].sum())
        mean = math.fsum((values[at] * records[at]).tolist()) / total
        found.append(Bin(float(values[at][0]), float(values[at][-1]), mean, wilson(int(hits[at].sum()), total)))
    return tuple(found)


def _mean_gap(of: Bin) -> float:
    """Mean distance of a share of so many draws from its probability: sqrt(2 p (1 - p) / (pi n))."""
    return math.sqrt(2 * max(0.0, of.confidence * (1 - of.confidence)) / (math.pi * of.right.total))
