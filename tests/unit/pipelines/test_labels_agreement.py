"""Agreement: against published worked examples, the definitions taken pair by pair, and the coverage an interval promises."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.pipelines.labels import ABSTAINS, Votes
from stack.pipelines.labels.agreement import (
    Agreement,
    cohen_kappa,
    cohen_kappa_of_table,
    fleiss_kappa,
    fleiss_kappa_of_counts,
    krippendorff_alpha,
    krippendorff_alpha_of_counts,
)

# J. L. Fleiss, Measuring nominal scale agreement among many raters (1971), table 1: 30 patients, 6 psychiatrists, 5 diagnoses.
PSYCHIATRISTS = """00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"""
# The worked example of the article "Fleiss' kappa" in the English Wikipedia (2024): 10 subjects, 14 raters, 5 categories.
SUBJECTS = "0 0 0 0 14|0 2 6 4 2|0 0 3 5 6|0 3 9 2 0|2 2 8 1 1|7 7 0 0 0|3 2 6 3 0|2 5 3 2 2|6 5 2 1 0|0 2 2 3 7"
# K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), examples A, B and C.
BINARY = ("0100000010", "1110010000")
NOMINAL = ("aabbdcccedda", "babbbccceddd")
GAPS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")
ROWS = st.lists(st.tuples(*[st.sampled_from(["a", "b", "c", None])] * 3), min_size=1, max_size=30)


def votes_of(*annotators: str) -> Votes:
    return Votes.from_columns({f"w{number}": [None if each == "." else each for each in votes] for number, votes in enumerate(annotators)})


def counts_of(text: str) -> np.ndarray:
    rows = [row.split() for row in text.split("|")] if "|" in text else [list(row) for row in text.split()]
    return np.array(rows, dtype=np.int64)


def noisy(draw: np.random.Generator, records: int, labelers: int) -> Votes:
    """Three labels, right 7 times of 10."""
    truth = draw.integers(0, 3, records)[:, None]
    right = draw.random((records, labelers)) < 0.7
    codes = np.where(right, truth, (truth + draw.integers(1, 3, (records, labelers))) % 3)
    return Votes(codes.astype(np.int16), ("a", "b", "c"), tuple(f"w{number}" for number in range(labelers)))


@pytest.mark.parametrize(("text", "kappa", "records"), [(PSYCHIATRISTS, 0.430, 30), (SUBJECTS, 0.210, 10)], ids=["fleiss", "wikipedia"])
def test_fleiss_kappa_gives_the_published_values(text: str, kappa: float, records: int) -> None:
    found = fleiss_kappa_of_counts(counts_of(text))
    assert found.value == pytest.approx(kappa, abs=5e-4)
    assert found.records == records


@pytest.mark.parametrize(("annotators", "alpha", "records"), [(BINARY, 0.095, 10), (NOMINAL, 0.692, 12), (GAPS, 0.743, 11)], ids=["binary", "nominal", "gaps"])
def test_krippendorffs_alpha_gives_the_published_values(annotators: tuple[str, ...], alpha: float, records: int) -> None:
    found = krippendorff_alpha(votes_of(*annotators))
    assert found.value == pytest.approx(alpha, abs=5e-4)
    assert found.records == records


def test_fleiss_kappa_of_votes_is_that_of_their_counts() -> None:
    raters = ["".join(label * int(count) for label, count in zip("abcde", row, strict=True)) for row in PSYCHIATRISTS.split()]
    votes = votes_of(*("".join(column) for column in zip(*raters, strict=True)))
    assert fleiss_kappa(votes) == fleiss_kappa_of_counts(counts_of(PSYCHIATRISTS))


def test_cohens_kappa_of_a_table_gives_the_published_values() -> None:
    # The worked examples of the article "Cohen's kappa" in the English Wikipedia (2024).
    for table, kappa in (([[20, 5], [10, 15]], 0.40), ([[45, 15], [25, 15]], 0.1304), ([[25, 35], [5, 35]], 0.2593)):
        assert cohen_kappa_of_table(np.array(table)).value == pytest.approx(kappa, abs=5e-5)


def test_alpha_of_counted_units_is_that_of_their_records() -> None:
    units = np.array([[2, 0], [1, 1], [0, 3]])
    repeated = np.repeat(units, [5, 2, 4], axis=0)
    assert krippendorff_alpha_of_counts(units, np.array([5, 2, 4])) == krippendorff_alpha_of_counts(repeated)


def kappa_by_pairs(first: Sequence[str | None], second: Sequence[str | None]) -> Fraction | None:
    """Observed agreement, and that of any vote of the one with any of the other."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if not pairs:
        return None
    observed = Fraction(sum(a == b for a, b in pairs), len(pairs))
    by_chance = Fraction(sum(a == b for (a, _), (_, b) in product(pairs, repeat=2)), len(pairs) ** 2)
    return None if by_chance == 1 else (observed - by_chance) / (1 - by_chance)


def alpha_by_pairs(rows: Sequence[Sequence[str | None]]) -> Fraction | None:
    """1 less disagreement within records, each vote weighing alike, over that of any two of all votes that can be paired."""
    units = [[vote for vote in row if vote is not None] for row in rows]
    units = [unit for unit in units if len(unit) > 1]
    values = [vote for unit in units for vote in unit]
    differ = sum(a != b for a, b in permutations(values, 2))
    if not differ:
        return None
    within = sum(Fraction(sum(a != b for a, b in permutations(unit, 2)), len(unit) - 1) for unit in units)
    return 1 - (within / len(values)) / Fraction(differ, len(values) * (len(values) - 1))


@settings(max_examples=examples(60))
@given(ROWS)
def test_values_are_those_of_the_definitions_taken_pair_by_pair(rows: list[tuple[str | None, ...]]) -> None:
    columns = {f"w{number}": list(column) for number, column in enumerate(zip(*rows, strict=True))}
    votes = Votes.from_columns(columns, ("a", "b", "c"))
    for found, expected in (
        (cohen_kappa(votes, "w0", "w2", resamples=2).value, kappa_by_pairs(columns["w0"], columns["w2"])),
        (krippendorff_alpha(votes, resamples=2).value, alpha_by_pairs(rows)),
    ):
        assert found == (None if expected is None else pytest.approx(float(expected)))


def test_with_many_records_the_three_say_the_same_of_alike_labelers() -> None:
    votes = noisy(np.random.default_rng(3), 200_000, 2)
    kappa, fleiss, alpha = cohen_kappa(votes, "w0", "w1"), fleiss_kappa(votes), krippendorff_alpha(votes)
    assert kappa.value == pytest.approx(fleiss.value, abs=1e-4)
    assert alpha.value == pytest.approx(fleiss.value, abs=1e-4)
    # Right together, or both wrong with the same of two labels; chance is one third.
    assert kappa.value == pytest.approx((0.49 + 0.09 / 2 - 1 / 3) / (2 / 3), abs=0.01)


def test_an_interval_is_that_of_resampling_record_by_record() -> None:
    votes = noisy(np.random.default_rng(4), 150, 3)
    draw = np.random.default_rng(5)
    resampled = [Votes(votes.codes[draw.integers(0, 150, 150)], votes.labels, votes.labelers) for _ in range(800)]
    for statistic in (fleiss_kappa, krippendorff_alpha):
        low, high = np.quantile([statistic(each, resamples=0).value for each in resampled], [0.025, 0.975])
        found = statistic(votes, resamples=4000)
        assert found.low == pytest.approx(low, abs=0.02)
        assert found.high == pytest.approx(high, abs=0.02)


@pytest.mark.parametrize("statistic", ["cohen", "fleiss", "krippendorff"])
def test_nineteen_of_twenty_intervals_hold_the_true_value(statistic: str) -> None:
    draw = np.random.default_rng(6)
    truth, held, trials = (0.49 + 0.09 / 2 - 1 / 3) / (2 / 3), 0, 300
    for trial in range(trials):
        votes = noisy(draw, 200, 2)
        found = {
            "cohen": lambda votes, seed: cohen_kappa(votes, "w0", "w1", seed=seed, resamples=300),
            "fleiss": lambda votes, seed: fleiss_kappa(votes, seed=seed, resamples=300),
            "krippendorff": lambda votes, seed: krippendorff_alpha(votes, seed=seed, resamples=300),
        }[statistic](votes, trial)
        assert found.low is not None
        held += found.low <= truth <= found.high
    # Within three standard errors of a share of 0.95.
    assert abs(held / trials - 0.95) < 3 * (0.95 * 0.05 / trials) ** 0.5


def test_records_with_a_gap_count_where_a_coefficient_can_use_them() -> None:
    votes = votes_of("aabb.", "aab.b", "aabb.")
    assert cohen_kappa(votes, "w0", "w2").records == 4
    assert fleiss_kappa(votes).records == 3
    assert krippendorff_alpha(votes).records == 4


def test_nothing_to_compare_or_one_label_only_has_no_value() -> None:
    assert krippendorff_alpha(votes_of("a.", ".b")) == Agreement(None, None, None, 0)
    assert fleiss_kappa(votes_of("ab")) == Agreement(None, None, None, 0)
    for found in (cohen_kappa(votes_of("aaa", "aaa"), "w0", "w1"), fleiss_kappa(votes_of("aaa", "aaa")), krippendorff_alpha(votes_of("aaa", "aaa"))):
        assert found == Agreement(None, None, None, 3)


def test_an_interval_is_withheld_when_too_many_resamples_have_one_label() -> None:
    found = krippendorff_alpha(votes_of("aab", "aaa"))
    assert found.value is not None
    assert (found.low, found.high) == (None, None)
    assert cohen_kappa(votes_of("a", "b"), "w0", "w1").low is None


def test_full_agreement_has_a_value_but_no_interval() -> None:
    votes = votes_of("aabbcc", "aabbcc")
    for found in (cohen_kappa(votes, "w0", "w1"), fleiss_kappa(votes), krippendorff_alpha(votes)):
        assert found == Agreement(1.0, None, None, 6)


def test_another_order_of_records_and_a_second_time_give_the_same_bytes() -> None:
    votes = noisy(np.random.default_rng(7), 500, 4)
    mixed = Votes(votes.codes[np.random.default_rng(8).permutation(500)], votes.labels, votes.labelers)
    for statistic in (fleiss_kappa, krippendorff_alpha, lambda votes, **seed: cohen_kappa(votes, "w1", "w3", **seed)):
        assert statistic(mixed) == statistic(votes) == statistic(votes)
        assert statistic(votes, seed=1).low != statistic(votes).low


def test_a_million_records_narrow_the_interval_as_they_should() -> None:
    votes = noisy(np.random.default_rng(9), 1_000_000, 3)
    votes.codes[::17, 1] = ABSTAINS
    found = krippendorff_alpha(votes)
    assert found.low is not None
    # Half-width about 1 / sqrt(records): a wrong count of records would show.
    assert 0.0005 < (found.high - found.low) / 2 < 0.003
