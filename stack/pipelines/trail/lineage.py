"""Where one record came from and what became of it: two columns that say it while stages run, and the question answered from a finished folder."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stack.pipelines.base import Batch, RecordStage, Work
from stack.pipelines.errors import PipelineError

RECORD_SHA256 = "record_sha256"
"""SHA-256 of the text as read, UTF-8."""
STAGES = "stages"
"""Names of the stages that changed the text, by comma, in order; empty where none did."""

LABELS, CARD, DROPPED = "labels.parquet", "card.json", "dropped.jsonl"
VOTE = ("label", "error", "model", "digest")


def begin(batch: Batch) -> None:
    """Add both columns, before any stage has run."""
    batch.columns[RECORD_SHA256] = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in batch.texts]
    batch.columns[STAGES] = [""] * len(batch)


def apply_noted(stage: RecordStage, batch: Batch, work: Work) -> None:
    """Run a record stage and add its kind to the records whose text it changed. Needs `begin`."""
    before = dict(zip(batch.columns["record_id"], batch.texts, strict=True))
    stage.apply(batch, work)
    noted = batch.columns[STAGES]
    batch.columns[STAGES] = [
        said if before.get(record_id) == text else f"{said},{stage.kind}".lstrip(",")
        for record_id, text, said in zip(batch.columns["record_id"], batch.texts, noted, strict=True)
    ]


def trace(out_folder: Path, record_id: str) -> dict[str, Any]:
    """All that a finished folder knows of one record, without its text. PipelineError when the folder or the record is not there."""
    card = _card(out_folder)
    stages: list[Mapping[str, Any]] = card.get("stages", [])
    row = _row(out_folder / LABELS, record_id)
    if row is not None:
        return _kept(row, card, stages)
    dropped = _dropped(out_folder / DROPPED, record_id)
    if dropped is not None:
        return _left_out(dropped, stages)
    raise PipelineError(f"record {record_id} is neither in {LABELS} nor in {DROPPED} of {out_folder}: take a record_id from one of them")


def _kept(row: Mapping[str, Any], card: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    changed = set(filter(None, (row.get(STAGES) or "").split(",")))
    names = [labeler["name"] for labeler in card.get("labelers", [])]
    return {
        "record_id": row["record_id"],
        "source": row.get("source"),
        "row": row.get("row"),
        "source_id": row.get("source_id"),
        RECORD_SHA256: row.get(RECORD_SHA256),
        "stages": [_passed(stage, changed if STAGES in row else None) for stage in stages],
        "votes": {name: {what: row.get(f"{name}_{what}") for what in VOTE} for name in names},
        "outcome": {"label": row.get("label"), "probability": row.get("probability"), "gold": row.get("gold")},
        "split": row.get("split"),
        "dropped": None,
    }


def _left_out(dropped: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The stages up to and with the one that dropped it; a stage that the card does not name leaves the list empty."""
    kinds = [stage.get("kind") for stage in stages]
    reached = kinds.index(dropped["stage"]) + 1 if dropped.get("stage") in kinds else 0
    return {
        "record_id": dropped["record_id"],
        "source": dropped.get("source"),
        "row": dropped.get("row"),
        "source_id": None,
        RECORD_SHA256: None,
        "stages": [_passed(stage, None) for stage in stages[:reached]],
        "votes": {},
        "outcome": None,
        "split": None,
        "dropped": {name: dropped.get(name) for name in ("stage", "reason", "detail")},
    }


def _passed(stage: Mapping[str, Any], changed: set[str] | None) -> dict[str, Any]:
    """`changed_text` is None where it was not kept."""
    said = {name: stage.get(name) for name in ("kind", "version", "digest", "words")}
    return {**said, "changed_text": None if changed is None else stage.get("kind") in changed}


def _card(out_folder: Path) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads((out_folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{out_folder} has no {CARD}: give the --out folder of a finished run") from None
    except (OSError, ValueError) as error:
        raise PipelineError(f"{out_folder / CARD} cannot be read: {error}") from None
    return card


def _row(labels: Path, record_id: str) -> dict[str, Any] | None:
    """One row group at a time, and only the ids of those that hold another record."""
    if not labels.is_file():
        raise PipelineError(f"{labels.parent} has no {LABELS}: give the --out folder of a finished run")
    with pq.ParquetFile(labels) as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["record_id"]).column("record_id").to_pylist()
            if record_id in ids:
                columns = [name for name in file.schema_arrow.names if name != "text"]
                row: dict[str, Any] = file.read_row_group(group, columns=columns).slice(ids.index(record_id), 1).to_pylist()[0]
                return row
    return None


def _dropped(path: Path, record_id: str) -> dict[str, Any] | None:
    if not record_id or not path.is_file():
        return None
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            # Most lines are another record's: parse only those that can be this one's.
            if record_id in line and (found := json.loads(line)).get("record_id") == record_id:
                return dict(found)
    return None
