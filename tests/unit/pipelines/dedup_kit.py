"""Batches and cuts into shards for the tests of dataset stages."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from stack.pipelines.base import Batch, DatasetStage, Decision, Work

WORK = Work(Path())


def shards_of(texts: Sequence[str], cuts: Sequence[int] = (), **columns: Sequence[Any]) -> list[Batch]:
    """Records r0, r1, ... with these texts, cut before the given positions."""
    whole: dict[str, list[Any]] = {
        "record_id": [f"r{row}" for row in range(len(texts))],
        "source": ["notes"] * len(texts),
        "row": list(range(len(texts))),
        "text": list(texts),
        **{name: list(values) for name, values in columns.items()},
    }
    edges = [0, *sorted(cuts), len(texts)]
    return [Batch({name: values[start:end] for name, values in whole.items()}) for start, end in pairwise(edges)]


def decided(stage: DatasetStage, shards: Sequence[Batch], work: Work = WORK) -> list[Decision]:
    return list(stage.decide([stage.sketch(shard, work) for shard in shards], work))


def outcome(stage: DatasetStage, shards: Sequence[Batch], work: Work = WORK) -> tuple[dict[str, tuple[str, str]], dict[str, dict[str, Any]]]:
    """What was dropped (id to reason and detail), and each record's added columns."""
    drops, columns = {}, {}
    for shard, decision in zip(shards, decided(stage, shards, work), strict=True):
        for row, record_id in enumerate(shard.columns["record_id"]):
            if row in decision.drop:
                drops[record_id] = decision.drop[row]
            columns[record_id] = {name: values[row] for name, values in decision.columns.items()}
    return drops, columns
