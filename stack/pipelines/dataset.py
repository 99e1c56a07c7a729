"""The finished dataset: one table with a label per record, and the card that says what it is (pure)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import pyarrow as pa

from stack.pipelines.label_model import aggregate
from stack.pipelines.records import Dropped
from stack.pipelines.spec import Aggregate, Evaluate, Keywords, Pipeline, Read, labeler_digest
from stack.pipelines.statistics import (
    LabelScore,
    Proportion,
    accuracy,
    cohen_kappa,
    krippendorff_alpha,
    majority_class_share,
    per_label,
)

OUTCOME = "label"
"""The column with the aggregated label; every labeler NAME has NAME_label."""


@dataclass(frozen=True)
class Accuracy:
    """One annotator against the human labels, over the records where both gave one (`overall.total`)."""

    overall: Proportion
    by_label: Mapping[str, LabelScore]
    kappa: float | None


@dataclass(frozen=True)
class Statistics:
    """All that can be worked out from the table alone. `against_gold` also has the aggregated outcome, under `label`."""

    records: int
    failed: Mapping[str, int]
    abstained: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    majority_class: Proportion
    against_gold: Mapping[str, Accuracy]
    kappa: Mapping[tuple[str, str], float | None]
    alpha: float | None


def finish(table: pa.Table, pipeline: Pipeline) -> pa.Table:
    """The shards' table with `label` and `probability`; labelers and labels stand in the schema's metadata."""
    votes = {labeler.name: column(table, f"{labeler.name}_label") for labeler in pipeline.labelers}
    outcomes = aggregate(votes, pipeline.labels, pipeline.stage(Aggregate).method)
    finished = table.append_column(OUTCOME, pa.array([each.label for each in outcomes], pa.string()))
    finished = finished.append_column("probability", pa.array([each.probability for each in outcomes], pa.float64()))
    names = {"labels": "\n".join(pipeline.labels), "labelers": "\n".join(votes)}
    return finished.replace_schema_metadata(names)


def describe(table: pa.Table, *, with_gold: bool = True) -> Statistics:
    """Statistics of a finished table, from it alone."""
    metadata = table.schema.metadata
    labels, labelers = metadata[b"labels"].decode().split("\n"), metadata[b"labelers"].decode().split("\n")
    votes = {name: column(table, f"{name}_label") for name in labelers}
    errors = {name: column(table, f"{name}_error") for name in labelers}
    gold = column(table, "gold") if with_gold else [None] * table.num_rows
    judged = {**votes, OUTCOME: column(table, OUTCOME)} if any(gold) else {}
    return Statistics(
        records=table.num_rows,
        failed={name: sum(error is not None for error in errors[name]) for name in labelers},
        abstained={name: sum(vote is None and error is None for vote, error in zip(votes[name], errors[name], strict=True)) for name in labelers},
        prompt_tokens=sum(sum(column(table, f"{name}_prompt_tokens")) for name in labelers),
        completion_tokens=sum(sum(column(table, f"{name}_completion_tokens")) for name in labelers),
        majority_class=majority_class_share(gold),
        against_gold={name: Accuracy(accuracy(cast, gold), per_label(cast, gold, labels), cohen_kappa(cast, gold)) for name, cast in judged.items()},
        kappa={(a, b): cohen_kappa(votes[a], votes[b]) for a, b in combinations(labelers, 2)},
        alpha=krippendorff_alpha(list(votes.values())) if len(votes) > 1 else None,
    )


def card(pipeline: Pipeline, table: pa.Table, dropped: Sequence[Dropped], files: Mapping[str, Mapping[str, Any]], model: str | None) -> dict[str, Any]:
    """What the dataset is, where it came from and what became of every record. No times and rates: the same input gives the same card.

    `files` says of each source the file's SHA-256 and how many records were read from it.
    """
    statistics = describe(table, with_gold=pipeline.optional(Evaluate) is not None)
    sources = pipeline.stage(Read).sources
    return {
        "name": pipeline.name,
        "title": pipeline.title,
        "licence": sorted({source.licence for source in sources}),
        "sources": [{**source.model_dump(mode="json", exclude={"path"}), "file": source.path.name, **files[source.name]} for source in sources],
        "counts": {
            "read": sum(each["records"] for each in files.values()),
            "dropped": dict(sorted(Counter(each.reason for each in dropped).items())),
            "left_out_by_limit": sum(each["records"] for each in files.values()) - len(dropped) - table.num_rows,
            "labeled": table.num_rows,
            "failed_votes": dict(statistics.failed),
        },
        "label_balance": _balance(column(table, OUTCOME)),
        "gold_balance": _balance(column(table, "gold")),
        "labelers": [
            {"name": each.name, "kind": each.kind, "model": None if isinstance(each, Keywords) else model, "digest": labeler_digest(each, pipeline.labels)}
            for each in pipeline.labelers
        ],
        "aggregate": pipeline.stage(Aggregate).method,
        "statistics": as_plain(statistics),
        "columns": dict(zip(table.schema.names, map(str, table.schema.types), strict=True)),
    }


def as_plain(statistics: Statistics) -> dict[str, Any]:
    """For JSON: pairs of labelers become `a/b`."""
    plain = asdict(statistics)
    plain["kappa"] = {"/".join(pair): value for pair, value in statistics.kappa.items()}
    return plain


def column(table: pa.Table, name: str) -> list[Any]:
    values: list[Any] = table.column(name).to_pylist()
    return values


def _balance(labels: Sequence[str | None]) -> dict[str, int]:
    """Counts by label; records without one are counted under the empty string."""
    return dict(sorted(Counter(label or "" for label in labels).items()))
