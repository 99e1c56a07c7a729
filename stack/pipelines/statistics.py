"""Agreement and accuracy of labels (pure). None stands for "no label" and never counts as agreement or as a mistake."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""

Labels = Sequence[str | None]


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


def accuracy(predicted: Labels, gold: Labels) -> Proportion:
    """Share of agreement where both have a label."""
    pairs = _both(predicted, gold)
    return wilson(sum(a == b for a, b in pairs), len(pairs))


def majority_class_share(gold: Labels) -> Proportion:
    """What always answering the most frequent gold label would score: the baseline any labeler has to beat."""
    counts = Counter(label for label in gold if label is not None)
    return wilson(max(counts.values(), default=0), counts.total())


def per_label(predicted: Labels, gold: Labels, labels: Sequence[str]) -> dict[str, LabelScore]:
    pairs = _both(predicted, gold)
    scores = {}
    for label in labels:
        hits = sum(a == b == label for a, b in pairs)
        as_predicted, as_gold = sum(a == label for a, _ in pairs), sum(b == label for _, b in pairs)
        scores[label] = LabelScore(_ratio(hits, as_predicted), _ratio(hits, as_gold), as_predicted, as_gold)
    return scores


def cohen_kappa(first: Labels, second: Labels) -> float | None:
    """Agreement beyond chance of two annotators: (po - pe) / (1 - pe) (J. Cohen, Educ. Psychol. Meas. 20, 1960, 37-46).

    None when no record has both labels, or when both always give one and the same label (pe = 1).
    """
    pairs = _both(first, second)
    if not pairs:
        return None
    n = len(pairs)
    agreed = sum(a == b for a, b in pairs)
    left, right = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    by_chance = sum(left[label] * right[label] for label in left)
    # Scaled by n * n the terms are whole numbers, so the result does not depend on the order of a sum.
    return None if by_chance == n * n else (agreed * n - by_chance) / (n * n - by_chance)


def krippendorff_alpha(annotators: Sequence[Labels]) -> float | None:
    """Nominal alpha = 1 - Do/De over any number of annotators and gaps (K. Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011).

    None when fewer than two values can be paired, or when there is only one value.
    """
    units = [[label for label in unit if label is not None] for unit in zip(*annotators, strict=True)]
    units = [unit for unit in units if len(unit) > 1]
    totals = Counter(label for unit in units for label in unit)
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    if not expected:
        return None
    observed = math.fsum((len(unit) ** 2 - sum(count * count for count in Counter(unit).values())) / (len(unit) - 1) for unit in units)
    return 1 - (n - 1) * observed / expected


def _both(first: Labels, second: Labels) -> list[tuple[str, str]]:
    return [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
