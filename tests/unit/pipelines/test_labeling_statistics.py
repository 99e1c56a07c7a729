"""Agreement statistics against published worked examples, and the properties that define them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.pipelines.statistics import accuracy, cohen_kappa, krippendorff_alpha, majority_class_share, per_label, wilson

LABELS = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=40)
PAIRED = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["a", "b", None])), min_size=1, max_size=40)


def table(both_yes: int, yes_no: int, no_yes: int, both_no: int) -> tuple[list[str], list[str]]:
    """Two annotators from the counts of a 2 x 2 table."""
    first = ["yes"] * (both_yes + yes_no) + ["no"] * (no_yes + both_no)
    second = ["yes"] * both_yes + ["no"] * yes_no + ["yes"] * no_yes + ["no"] * both_no
    return first, second


def row(values: str) -> list[str | None]:
    return [None if value == "." else value for value in values.split()]


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_wilson_interval_is_newcombes(successes: int, total: int, low: float, high: float) -> None:
    interval = wilson(successes, total)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(
    ("counts", "kappa"),
    # The worked examples of the article "Cohen's kappa" in the English Wikipedia (2024): the simple one, and the two with equal agreement.
    [((20, 5, 10, 15), 0.40), ((45, 15, 25, 15), 0.1304), ((25, 35, 5, 35), 0.2593)],
)
def test_cohens_kappa_gives_the_published_values(counts: tuple[int, int, int, int], kappa: float) -> None:
    assert cohen_kappa(*table(*counts)) == pytest.approx(kappa, abs=5e-5)


def test_krippendorffs_alpha_gives_the_published_values() -> None:
    # K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example A (binary, two observers) and C (nominal, four observers, gaps).
    assert krippendorff_alpha([row("0 1 0 0 0 0 0 0 1 0"), row("1 1 1 0 0 1 0 0 0 0")]) == pytest.approx(0.095, abs=5e-4)
    four = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
    assert krippendorff_alpha([row(each) for each in four]) == pytest.approx(0.743, abs=5e-4)


@given(st.integers(1, 5000), st.data())
def test_a_wilson_interval_holds_its_share_and_stays_within_zero_and_one(total: int, data: st.DataObject) -> None:
    interval = wilson(data.draw(st.integers(0, total)), total)
    assert interval.low is not None
    assert interval.high is not None
    assert interval.value is not None
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high


@given(LABELS)
def test_agreement_with_oneself_is_perfect_or_undefined(labels: list[str | None]) -> None:
    varied = len({label for label in labels if label is not None}) > 1
    assert cohen_kappa(labels, labels) == (1 if varied else None)
    assert krippendorff_alpha([labels, labels]) == (1 if varied else None)


@given(PAIRED)
def test_agreement_is_symmetric_and_at_most_one(pairs: list[tuple[str | None, str | None]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    kappa = cohen_kappa(first, second)
    assert kappa == cohen_kappa(second, first)
    assert kappa is None or -1 <= kappa <= 1
    alpha = krippendorff_alpha([first, second])
    assert alpha == krippendorff_alpha([second, first])
    assert alpha is None or alpha <= 1


@given(PAIRED)
def test_records_without_one_of_the_labels_change_nothing(pairs: list[tuple[str | None, str | None]]) -> None:
    whole = [(a, b) for a, b in pairs if a is not None and b is not None]
    assert accuracy([a for a, _ in pairs], [b for _, b in pairs]) == accuracy([a for a, _ in whole], [b for _, b in whole])
    assert cohen_kappa([a for a, _ in pairs], [b for _, b in pairs]) == cohen_kappa([a for a, _ in whole], [b for _, b in whole])


def test_precision_and_recall_of_a_label_that_never_occurs_are_undefined() -> None:
    scores = per_label(["a", "a", "b", None], ["a", "b", "b", "b"], ["a", "b", "c"])
    assert (scores["a"].precision, scores["a"].recall) == (0.5, 1.0)
    assert (scores["b"].precision, scores["b"].recall) == (1.0, 0.5)
    assert (scores["c"].precision, scores["c"].recall) == (None, None)


def test_the_baseline_is_the_share_of_the_most_frequent_gold_label() -> None:
    baseline = majority_class_share(["a", "b", "b", None])
    assert (baseline.successes, baseline.total) == (2, 3)
    assert majority_class_share([None]).value is None
