"""Labels that are likely wrong, by confident learning (pure).

C. G. Northcutt, L. Jiang and I. L. Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70, 2021, 1373-1411.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stack.pipelines.labels.votes import ABSTAINS, Codes, Counts, Floats

CLOSE = 1e-9
"""Beliefs this close to a threshold reach it: the mean of equal numbers may come out a rounding above them."""


@dataclass(frozen=True)
class LabelQuality:
    """Per record: `quality` (n) is the belief in the given label, NaN without label or belief; `suspect` (n); `suggested` (n) is the label
    that is believed instead, ABSTAINS for those not suspected.

    `thresholds` (k): the mean belief in a label over the records given it, NaN for a label never given. `joint` (k x k): records by given
    label (row) and confidently believed label (column), the paper's confident joint before calibration.
    """

    quality: Floats
    suspect: NDArray[np.bool_]
    suggested: Codes
    thresholds: Floats
    joint: Counts

    def worst_first(self) -> NDArray[np.intp]:
        """Positions of the suspects, those with the lowest belief in their label first, then by position."""
        at = np.flatnonzero(self.suspect)
        return at[np.argsort(self.quality[at], kind="stable")]


def label_errors(given: Codes, beliefs: Floats, counts: Counts | None = None) -> LabelQuality:
    """`given` (n): labels to check, ABSTAINS for none; `beliefs` (n x k): probability of each label, NaN rows for none known.

    The beliefs must come from who did not see the given label, else they repeat it. A record counts for the label of largest belief
    among those whose belief reaches the label's threshold (section 3.1; the first of equals); it is suspect when that is
    another label than the given one, that is when it stands off the diagonal of the confident joint (section 3.2, method 2).
    `counts` (n): how many records a row stands for, 1 each without.
    """
    n, k = beliefs.shape
    weights = np.ones(n, np.int64) if counts is None else counts
    known = (given != ABSTAINS) & ~np.isnan(beliefs).any(axis=1)
    rows, label, weight = beliefs[known], given[known], weights[known]
    self_confidence = rows[np.arange(len(rows)), label]
    with np.errstate(invalid="ignore"):
        thresholds: Floats = np.bincount(label, self_confidence * weight, k) / np.bincount(label, weight, k)
    # A label that was never given has no threshold, and nothing is counted for it.
    reaches = rows >= np.where(np.isnan(thresholds), np.inf, thresholds) - CLOSE
    believed = np.where(reaches.any(axis=1), np.where(reaches, rows, -1.0).argmax(axis=1), ABSTAINS)
    counted = believed != ABSTAINS
    joint = np.bincount(label[counted].astype(np.int64) * k + believed[counted], weight[counted], k * k).astype(np.int64).reshape(k, k)
    wrong = counted & (believed != label)
    quality, suspect, suggested = np.full(n, np.nan), np.zeros(n, bool), np.full(n, ABSTAINS, np.int16)
    quality[known], suspect[known], suggested[known] = self_confidence, wrong, np.where(wrong, believed, ABSTAINS)
    return LabelQuality(quality, suspect, suggested, thresholds, joint)
