"""Accuracy of labels with its interval, from counts of pairs (pure). Agreement beyond chance is `stack.pipelines.labels.agreement`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""

Pairs = Mapping[tuple[str, str], int]
"""Records by (predicted, gold), where both are given."""


@dataclass(frozen=True)
class Proportion:
    """A share with its Wilson 95 % interval; all None when there was nothing to count."""

    successes: int
    total: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class LabelScore:
    """Of one label: `precision` = true positives / predicted, `recall` = true positives / gold; None when undefined."""

    precision: float | None
    recall: float | None
    predicted: int
    gold: int


def wilson(successes: int, total: int, z: float = Z_95) -> Proportion:
    """Score interval of a binomial proportion (E. B. Wilson, JASA 22, 1927, 209-212), without continuity correction."""
    if total == 0:
        return Proportion(successes, total, None, None, None)
    share = successes / total
    denominator = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At the ends the formula gives 0 and 1 exactly; rounding must not push the interval off the share.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == total else min(1.0, centre + half)
    return Proportion(successes, total, share, low, high)


def accuracy(pairs: Pairs) -> Proportion:
    """Share of agreement where both have a label."""
    return wilson(sum(count for (a, b), count in pairs.items() if a == b), sum(pairs.values()))


def majority_class_share(gold: Mapping[str, int]) -> Proportion:
    """What always answering the most frequent gold label would score: the baseline any labeler has to beat. `gold`: records by label."""
    return wilson(max(gold.values(), default=0), sum(gold.values()))


def per_label(pairs: Pairs, labels: Sequence[str]) -> dict[str, LabelScore]:
    scores = {}
    for label in labels:
        as_predicted, as_gold = sum(n for (a, _), n in pairs.items() if a == label), sum(n for (_, b), n in pairs.items() if b == label)
        hits = pairs.get((label, label), 0)
        scores[label] = LabelScore(_ratio(hits, as_predicted), _ratio(hits, as_gold), as_predicted, as_gold)
    return scores


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
