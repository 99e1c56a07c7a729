"""One document of all figures of a set of votes."""

import json

import numpy as np
import pytest
from label_kit import synthetic

from stack.pipelines.errors import PipelineError
from stack.pipelines.labels import ABSTAINS, Votes, aggregate
from stack.pipelines.labels.agreement import cohen_kappa, krippendorff_alpha
from stack.pipelines.labels.report import describe_labels


def example(records: int = 3000) -> tuple[Votes, np.ndarray]:
    votes, truth = synthetic(4, records=records, labels=3, labelers=4)
    gold = truth.copy()
    gold[records // 2 :] = ABSTAINS
    return votes, gold


def by_name(votes: Votes) -> dict[str, np.ndarray]:
    return dict(zip(votes.labelers, votes.codes.T, strict=True))


def test_its_figures_are_those_of_the_functions_it_names() -> None:
    votes, gold = example()
    found = describe_labels(by_name(votes), votes.labels, gold=gold)
    outcomes = aggregate(votes, "dawid_skene")
    assert found["agreement"]["krippendorff_alpha"]["value"] == pytest.approx(krippendorff_alpha(votes).value, abs=1e-9)
    assert found["agreement"]["cohen_kappa"]["w0/w3"]["high"] == pytest.approx(cohen_kappa(votes, "w0", "w3").high, abs=1e-9)
    assert len(found["agreement"]["cohen_kappa"]) == 6
    assert found["label"]["labeled"] == sum(found["label"]["balance"].values()) == (outcomes.codes != ABSTAINS).sum()
    both = (gold != ABSTAINS) & (outcomes.codes != ABSTAINS)
    assert found["gold"]["calibration"]["accuracy"]["successes"] == (gold[both] == outcomes.codes[both]).sum()
    assert found["gold"]["records"] == 1500
    assert sum(map(sum, found["gold"]["suspects"]["confident_joint"])) <= 1500


def test_what_the_label_model_believes_of_a_labeler_is_near_its_accuracy_on_gold() -> None:
    votes, gold = example()
    found = describe_labels(by_name(votes), votes.labels, gold=gold)
    for name, accuracy in found["gold"]["labelers"].items():
        assert found["labelers"][name]["estimated_accuracy"] == pytest.approx(accuracy["value"], abs=0.1)


def test_disagreeing_records_are_those_with_two_different_votes() -> None:
    codes = {"w0": np.array([0, 0, 1, -1]), "w1": np.array([0, 1, -1, -1])}
    found = describe_labels(codes, ("a", "b"), method="majority")
    assert (found["agreement"]["disagreeing"]["successes"], found["agreement"]["disagreeing"]["total"]) == (1, 2)
    assert found["labelers"]["w1"] == {"votes": 2, "coverage": 0.5, "balance": {"a": 1, "b": 1}, "estimated_accuracy": None, "confusion": None}
    assert found["gold"] is None


def test_the_same_votes_in_another_order_give_the_same_bytes() -> None:
    votes, gold = example(500)
    order = np.random.default_rng(0).permutation(500)
    mixed = describe_labels({name: codes[order] for name, codes in by_name(votes).items()}, votes.labels, gold=gold[order])
    assert json.dumps(mixed, allow_nan=False) == json.dumps(describe_labels(by_name(votes), votes.labels, gold=gold), allow_nan=False)


def test_no_labeler_no_record_and_no_gold_are_told_plainly() -> None:
    nothing = describe_labels({"w0": np.zeros(0, np.int16)}, ("a", "b"), gold=np.zeros(0, np.int16))
    assert (nothing["records"], nothing["labelers"]["w0"]["coverage"], nothing["gold"]) == (0, None, None)
    assert nothing["agreement"]["krippendorff_alpha"] == {"value": None, "low": None, "high": None, "records": 0}
    assert describe_labels({}, ("a", "b"), gold=np.full(3, ABSTAINS))["records"] == 3
    with pytest.raises(PipelineError, match="differ in length"):
        describe_labels({"w0": np.zeros(1, np.int16), "w1": np.zeros(2, np.int16)}, ("a", "b"))
