"""Label models: against the published method, against the row by row model, and on votes whose truth is known."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_kit import direct_dawid_skene, synthetic

from stack.pipelines.errors import PipelineError
from stack.pipelines.labels import ABSTAINS, Method, Outcomes, Votes, aggregate, encode
from stack.pipelines.labels.votes import Codes

LABELS = ("a", "b", "c")
METHODS: tuple[Method, ...] = ("dawid_skene", "generative", "majority")
CAST = st.lists(st.tuples(*[st.sampled_from([*LABELS, None])] * 3), min_size=1, max_size=30)


def of_rows(rows: Sequence[Sequence[str | None]], labels: Sequence[str] = LABELS) -> Votes:
    return Votes.from_columns({f"w{number}": list(column) for number, column in enumerate(zip(*rows, strict=True))}, labels)


def accuracy(outcomes: Outcomes, truth: Codes) -> float:
    return float((outcomes.codes == truth).mean())


@pytest.mark.parametrize("seed", range(3))
def test_label_models_beat_majority_when_functions_differ_in_skill(seed: int) -> None:
    votes, truth = synthetic(seed)
    majority, generative, dawid_skene = (accuracy(aggregate(votes, method), truth) for method in ("majority", "generative", "dawid_skene"))
    assert majority > 0.90
    assert generative > majority + 0.01
    assert dawid_skene > max(0.96, generative + 0.01)


@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_equals_the_published_equations_taken_record_by_record(seed: int) -> None:
    votes, _ = synthetic(seed, records=400, labels=3, labelers=7)
    outcomes = aggregate(votes, "dawid_skene")
    assert outcomes.fit is not None
    np.testing.assert_allclose(outcomes.matrix, direct_dawid_skene(votes, rounds=outcomes.fit.rounds), atol=1e-9, rtol=0)


def test_dawid_skene_finds_the_error_rates_it_was_not_told() -> None:
    votes, truth = synthetic(1, records=20_000)
    fit = aggregate(votes, "dawid_skene").fit
    assert fit is not None
    assert fit.converged
    np.testing.assert_allclose(fit.prior, np.bincount(truth) / len(truth), atol=0.02)
    for labeler, codes in enumerate(votes.codes.T):
        for label in range(4):
            said = codes[(truth == label) & (codes != ABSTAINS)]
            np.testing.assert_allclose(fit.confusion[labeler, label], np.bincount(said, minlength=4) / len(said), atol=0.05)


def test_the_generative_model_finds_accuracies_and_propensities() -> None:
    draw = np.random.default_rng(5)
    truth = draw.integers(0, 3, 20_000).astype(np.int16)
    skills, propensities = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([0.3, 0.5, 0.9, 0.7, 0.8])
    right = draw.random((20_000, 5)) < skills
    codes = np.where(right, truth[:, None], (truth[:, None] + draw.integers(1, 3, (20_000, 5))) % 3)
    codes[draw.random((20_000, 5)) > propensities] = ABSTAINS
    votes = Votes(codes.astype(np.int16), LABELS, tuple("vwxyz"))
    fit = aggregate(votes, "generative").fit
    assert fit is not None
    np.testing.assert_allclose(fit.confusion[:, 0, 0], skills, atol=0.03)
    np.testing.assert_allclose(fit.coverage, propensities, atol=0.02)
    # Known skills and even labels: the log odds of Bayes' rule.
    alone = aggregate(votes, "generative", dict.fromkeys(LABELS, 1 / 3))
    row = int(np.flatnonzero((votes.codes == [0, -1, -1, -1, -1]).all(axis=1))[0])
    assert alone.fit is not None
    assert alone.matrix[row, 0] == pytest.approx(alone.fit.confusion[0, 0, 0])


def test_a_given_balance_decides_where_votes_do_not() -> None:
    votes = of_rows([("a", "b", None), ("b", "a", None)] * 5, ("a", "b"))
    assert set(aggregate(votes, "generative", {"a": 0.9, "b": 0.1}).names()) == {"a"}
    with pytest.raises(PipelineError, match="field `balance`"):
        aggregate(votes, "generative", {"a": 0.9})


def test_dawid_skene_learns_from_an_annotator_that_is_always_wrong() -> None:
    draw = random.Random(7)
    truth = [draw.choice(LABELS) for _ in range(300)]
    honest = {f"w{n}": [label if draw.random() < 0.8 else draw.choice([x for x in LABELS if x != label]) for label in truth] for n in range(3)}
    liar = {"liar": [LABELS[(LABELS.index(label) + 1) % 3] for label in truth]}
    codes = encode(truth, LABELS, column="truth")
    without, joined = (aggregate(Votes.from_columns(columns, LABELS), "dawid_skene") for columns in (honest, {**honest, **liar}))
    assert accuracy(joined, codes) > accuracy(without, codes) + 10 / 300


def test_a_tie_goes_to_the_labeler_named_first() -> None:
    outcomes = aggregate(Votes.from_columns({"first": ["b", "a"], "second": ["a", "a"]}), "majority")
    assert outcomes.names() == ["b", "a"]
    assert outcomes.probability.tolist() == [0.5, 1.0]


@pytest.mark.parametrize("method", ["dawid_skene", "generative"])
def test_labels_of_which_the_votes_say_the_same_stay_equally_likely(method: Method) -> None:
    # Exchange a and c, and the first and the second labeler: the same votes again.
    votes = of_rows([("a", "c", "a"), ("a", "c", "b"), ("a", "c", "b"), ("a", "c", "c")])
    matrix = aggregate(votes, method).matrix
    np.testing.assert_allclose(matrix[1], matrix[1, ::-1], atol=1e-9)
    np.testing.assert_allclose(matrix[0], matrix[3, ::-1], atol=1e-9)
    assert aggregate(votes, method).names()[1] == "a"


@given(CAST, st.sampled_from(METHODS))
def test_probabilities_are_probabilities_and_a_record_without_votes_gets_no_label(rows: list[tuple[str | None, ...]], method: Method) -> None:
    outcomes = aggregate(of_rows(rows), method)
    for row, label, probability, beliefs in zip(rows, outcomes.names(), outcomes.probability, outcomes.matrix, strict=True):
        if any(row):
            assert label in LABELS
            assert 0 < probability <= 1
            assert beliefs.sum() == pytest.approx(1)
        else:
            assert label is None
            assert np.isnan(probability)


@given(CAST, st.sampled_from(METHODS), st.randoms(use_true_random=False))
def test_the_order_of_the_records_changes_nothing_at_all(rows: list[tuple[str | None, ...]], method: Method, shuffler: random.Random) -> None:
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    straight, shuffled = aggregate(of_rows(rows), method), aggregate(of_rows([rows[position] for position in order]), method)
    assert np.array_equal(shuffled.codes, straight.codes[order])
    assert np.array_equal(shuffled.matrix, straight.matrix[order], equal_nan=True)


@given(CAST, st.sampled_from(METHODS), st.permutations(LABELS))
def test_other_names_for_the_labels_change_nothing_but_the_names(rows: list[tuple[str | None, ...]], method: Method, names: list[str]) -> None:
    renamed = [[None if vote is None else names[LABELS.index(vote)] for vote in row] for row in rows]
    old, new = aggregate(of_rows(rows), method), aggregate(of_rows(renamed), method)
    by_old_name = new.matrix[:, [LABELS.index(name) for name in names]]
    # A fit may stop one round earlier or later by rounding, which moves beliefs by no more than the tolerance of the fit.
    np.testing.assert_allclose(by_old_name, old.matrix, atol=1e-6)


def test_one_labeler_and_one_label_are_enough_and_no_record_is_allowed() -> None:
    for method in METHODS:
        assert aggregate(Votes.from_columns({"w": ["a", None]}), method).names() == ["a", None]
        assert aggregate(Votes.from_columns({"w": []}, LABELS), method).names() == []
        assert aggregate(Votes.from_columns({"w": [None, None]}, LABELS), method).names() == [None, None]


def test_many_labels_and_labelers_still_group_into_patterns() -> None:
    draw = np.random.default_rng(0)
    codes = draw.integers(-1, 300, (50, 40)).astype(np.int16)
    codes[25:] = codes[:25]
    votes = Votes(codes, tuple(f"l{n:03}" for n in range(300)), tuple(f"w{n}" for n in range(40)))
    assert len(votes.pattern_codes) == 25
    assert np.array_equal(votes.pattern_codes[votes.patterns.of_row], codes)


def test_a_vote_that_is_no_label_is_named() -> None:
    with pytest.raises(PipelineError, match=r"column w: 'x' is none of the labels \(a, b, c\)"):
        Votes.from_columns({"w": ["a", None, "x"]}, LABELS)
    with pytest.raises(PipelineError, match="differ in length"):
        Votes.from_columns({"w": ["a"], "v": ["a", "b"]}, LABELS)
