"""The aggregation stage beside the function it replaces; goes when `stack.pipelines.label_model` goes."""

import csv
import random
from pathlib import Path

import pytest
from dedup_kit import outcome, shards_of

import stack.pipelines
from stack.pipelines import label_model
from stack.pipelines.labels import Method
from stack.pipelines.labels.stages import Aggregate

LABELS = ("positive", "neutral", "negative")
FOLDER = Path(stack.pipelines.__file__).parent / "data" / "nusax"


def nusax() -> list[str]:
    return [row["label"] for name in ("english", "indonesian") for row in csv.DictReader((FOLDER / f"{name}.csv").open(encoding="utf-8"))]


@pytest.mark.parametrize("labelers", [2, 3])
@pytest.mark.parametrize("method", ["dawid_skene", "majority"])
def test_labels_and_probabilities_are_those_of_before(labelers: int, method: Method) -> None:
    truth = nusax()
    for seed in range(5):
        draw = random.Random(seed)
        votes = {
            f"w{number}": [None if draw.random() < 0.1 else label if draw.random() < 0.7 else draw.choice(LABELS) for label in truth]
            for number in range(labelers)
        }
        before = label_model.aggregate(votes, LABELS, method)
        stage = Aggregate(method=method, labels=LABELS, labelers=tuple(votes))
        _, now = outcome(stage, shards_of(["x"] * len(truth), [64, 128], **{f"{name}_label": cast for name, cast in votes.items()}))
        assert [each["label"] for each in now.values()] == [each.label for each in before]
        assert [each["probability"] for each in now.values()] == [None if each.probability is None else round(each.probability, 9) for each in before]
