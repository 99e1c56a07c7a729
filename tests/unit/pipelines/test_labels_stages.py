"""Aggregation and label-error detection as stages: what they add, whatever the shards."""

import numpy as np
import pytest
from dedup_kit import outcome, shards_of
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from label_kit import direct_dawid_skene, synthetic
from pydantic import ValidationError

from stack.pipelines.base import DatasetStage
from stack.pipelines.errors import PipelineError
from stack.pipelines.labels import Method, Votes, aggregate
from stack.pipelines.labels.outcomes import words
from stack.pipelines.labels.stages import Aggregate, LabelErrors

LABELS, LABELERS = ("a", "b", "c"), ("w0", "w1", "w2")
ROWS = st.lists(st.tuples(*[st.sampled_from([*LABELS, None])] * 4), max_size=30)


def columns_of(rows: list[tuple[str | None, ...]]) -> dict[str, list[str | None]]:
    """Three labelers and gold."""
    names = [*(f"{name}_label" for name in LABELERS), "gold"]
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def noisy_columns(seed: int, records: int = 2000) -> tuple[dict[str, list[str | None]], np.ndarray]:
    """Three good labelers that see everything, and gold of which one in ten is wrong; and which."""
    votes, truth = synthetic(seed, records=records, labels=3, skills=(0.9, 0.85, 0.8))
    draw = np.random.default_rng(seed + 100)
    wrong = draw.random(records) < 0.1
    gold = np.where(wrong, (truth + draw.integers(1, 3, records)) % 3, truth)
    columns = {f"w{number}_label": words(codes, LABELS) for number, codes in enumerate(votes.codes.T)}
    return {**columns, "gold": words(gold, LABELS)}, wrong


def bound(stage: type[DatasetStage], **fields: object) -> DatasetStage:
    return stage.model_validate({"labels": LABELS, "labelers": LABELERS, **fields})


@pytest.mark.parametrize("method", ["dawid_skene", "generative", "majority"])
def test_every_record_gets_the_label_models_label_and_belief(method: Method) -> None:
    columns, _ = noisy_columns(1, 300)
    _, added = outcome(bound(Aggregate, method=method), shards_of(["x"] * 300, [100, 100, 250], **columns))
    expected = aggregate(Votes.from_columns({name: columns[f"{name}_label"] for name in LABELERS}, LABELS), method)
    assert [each["label"] for each in added.values()] == expected.names()
    found = [np.nan if each["probability"] is None else each["probability"] for each in added.values()]
    np.testing.assert_allclose(found, expected.probability, atol=1e-9, rtol=0)


def test_aggregation_is_the_published_model_taken_record_by_record() -> None:
    votes, _ = synthetic(2, records=200, labels=3, labelers=3)
    votes.codes[:, 0] = np.maximum(votes.codes[:, 0], 0)
    columns = {f"{name}_label": words(codes, LABELS) for name, codes in zip(LABELERS, votes.codes.T, strict=True)}
    _, added = outcome(bound(Aggregate), shards_of(["x"] * 200, **columns))
    fit = aggregate(votes, "dawid_skene").fit
    assert fit is not None
    direct = direct_dawid_skene(votes, rounds=fit.rounds)
    assert [each["label"] for each in added.values()] == [LABELS[best] for best in direct.argmax(axis=1)]
    np.testing.assert_allclose([each["probability"] for each in added.values()], direct.max(axis=1), atol=1e-8, rtol=0)


@settings(max_examples=examples(60))
@given(ROWS, st.lists(st.integers(0, 30), max_size=4), st.sampled_from([Aggregate, LabelErrors]), st.randoms(use_true_random=False))
def test_neither_shards_nor_order_change_what_a_record_gets(rows, cuts, stage, shuffler) -> None:
    ids = [f"r{row}" for row in range(len(rows))]
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    mixed = shards_of(["x"] * len(rows), [min(cut, len(rows)) for cut in cuts], **columns_of([rows[at] for at in order]), record_id=[ids[at] for at in order])
    made = bound(stage, drop=True) if stage is LabelErrors else bound(stage)
    assert outcome(made, mixed) == outcome(made, shards_of(["x"] * len(rows), **columns_of(rows), record_id=ids))


def test_a_record_without_votes_gets_no_label_and_no_suspicion() -> None:
    rows = [("a", "a", "a", "a"), (None, None, None, "b"), ("b", "b", None, None)]
    shards = shards_of(["x"] * 3, [1], **columns_of(rows))
    _, labels = outcome(bound(Aggregate), shards)
    assert labels["r1"] == {"label": None, "probability": None}
    assert [labels[name]["label"] for name in ("r0", "r2")] == ["a", "b"]
    _, errors = outcome(bound(LabelErrors), shards)
    assert errors["r1"] == errors["r2"] == {"label_suspect": False, "label_quality": None}


@pytest.mark.parametrize("seed", range(3))
def test_wrong_gold_labels_are_found(seed: int) -> None:
    columns, wrong = noisy_columns(seed)
    drops, added = outcome(bound(LabelErrors), shards_of(["x"] * 2000, **columns))
    suspect = np.array([each["label_suspect"] for each in added.values()])
    assert drops == {}
    assert (suspect & wrong).sum() / wrong.sum() > 0.75
    assert (suspect & wrong).sum() / suspect.sum() > 0.60
    quality = np.array([np.nan if each["label_quality"] is None else each["label_quality"] for each in added.values()])
    assert np.nanmean(quality[wrong]) < 0.3
    assert np.nanmean(quality[~wrong]) > 0.7


def test_suspects_are_dropped_only_when_asked_and_say_what_the_votes_say() -> None:
    rows = [("a", "a", "a", "a")] * 5 + [("b", "b", "b", "b")] * 5 + [("b", "b", "b", "a")]
    drops, added = outcome(bound(LabelErrors, drop=True), shards_of(["x"] * 11, [4], **columns_of(rows)))
    assert drops == {"r10": ("label_error", "a: the votes say b")}
    assert len(added) == 11


def test_a_labeler_is_checked_against_the_others_only() -> None:
    rows = [("a", "a", "a", None)] * 5 + [("b", "b", "b", None)] * 5 + [("a", "b", "b", None)]
    stage = bound(LabelErrors, check="w0_label")
    shards = shards_of(["x"] * 11, **columns_of(rows))
    assert stage.sketch(shards[0], None).column_names == ["vote:w1", "vote:w2", "given"]
    _, added = outcome(stage, shards)
    assert [name for name, each in added.items() if each["label_suspect"]] == ["r10"]
    with pytest.raises(PipelineError, match="field `check`: w0_label holds the only votes"):
        outcome(LabelErrors(labels=LABELS, labelers=("w0",), check="w0_label"), shards)


def test_a_sketch_holds_codes_of_16_bits_and_nothing_else() -> None:
    shard = shards_of(["secret"] * 2, **columns_of([("a", "b", None, "c"), ("c", "a", "b", "a")]))[0]
    for stage in (bound(Aggregate), bound(LabelErrors)):
        assert {str(field.type) for field in stage.sketch(shard, None).schema} == {"int16"}


def test_a_stage_that_lacks_what_it_needs_says_so() -> None:
    shards = shards_of(["x"], **columns_of([("a", "a", "x", "a")]))
    with pytest.raises(PipelineError, match="stage aggregate: field `labelers` is empty"):
        outcome(Aggregate(labels=LABELS), shards)
    with pytest.raises(PipelineError, match="stage label_errors: field `labels` is empty"):
        outcome(LabelErrors(labelers=LABELERS), shards)
    with pytest.raises(PipelineError, match=r"field `labelers`: there is no column w9_label; columns at this stage: gold, record_id"):
        outcome(bound(Aggregate, labelers=("w9",)), shards)
    with pytest.raises(PipelineError, match=r"field `check`: there is no column label;"):
        outcome(bound(LabelErrors, labelers=("w0",), check="label"), shards)
    with pytest.raises(PipelineError, match=r"column w2_label: 'x' is none of the labels \(a, b, c\)"):
        outcome(bound(Aggregate), shards)


def test_a_balance_is_checked_before_anything_runs() -> None:
    even = {"a": 0.5, "b": 0.25, "c": 0.25}
    assert bound(Aggregate, method="generative", balance=even).digest(None) != bound(Aggregate, method="generative").digest(None)
    with pytest.raises(ValidationError, match="is for method generative, not majority"):
        bound(Aggregate, method="majority", balance=even)
    with pytest.raises(ValidationError, match="give each of the labels"):
        bound(Aggregate, method="generative", balance={"a": 1.0})
    late = Aggregate(method="generative", balance={"a": 1.0}).model_copy(update={"labels": LABELS, "labelers": LABELERS})
    with pytest.raises(PipelineError, match="give each of the labels"):
        outcome(late, shards_of(["x"], **columns_of([("a", "a", "a", "a")])))
