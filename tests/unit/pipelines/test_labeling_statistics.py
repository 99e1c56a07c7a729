"""Shares of right labels, against published worked examples and the properties that define them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.pipelines.statistics import accuracy, majority_class_share, per_label, wilson

PAIRS = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), st.integers(1, 50))


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17 (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_wilson_interval_is_newcombes(successes: int, total: int, low: float, high: float) -> None:
    interval = wilson(successes, total)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 5000), st.data())
def test_a_wilson_interval_holds_its_share_and_stays_within_zero_and_one(total: int, data: st.DataObject) -> None:
    interval = wilson(data.draw(st.integers(0, total)), total)
    assert interval.low is not None
    assert interval.high is not None
    assert interval.value is not None
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high


@given(PAIRS)
def test_accuracy_is_the_share_of_equal_pairs(pairs: dict[tuple[str, str], int]) -> None:
    found = accuracy(pairs)
    equal = [a == b for (a, b), count in pairs.items() for _ in range(count)]
    assert (found.successes, found.total) == (sum(equal), len(equal))
    assert found.value == (sum(equal) / len(equal) if equal else None)


def test_precision_and_recall_of_a_label_that_never_occurs_are_undefined() -> None:
    scores = per_label({("a", "a"): 1, ("a", "b"): 1, ("b", "b"): 1}, ["a", "b", "c"])
    assert (scores["a"].precision, scores["a"].recall) == (0.5, 1.0)
    assert (scores["b"].precision, scores["b"].recall) == (1.0, 0.5)
    assert (scores["c"].precision, scores["c"].recall) == (None, None)


def test_the_baseline_is_the_share_of_the_most_frequent_gold_label() -> None:
    baseline = majority_class_share({"a": 1, "b": 2})
    assert (baseline.successes, baseline.total) == (2, 3)
    assert majority_class_share({}).value is None
