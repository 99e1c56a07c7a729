"""The history of one record, from a finished folder (edge; reads only).

The folder holds card.json (`card`), data files with a row per record, dropped.jsonl, and logs of stages (under notes/) and reviewers: any other
JSON Lines file beside them whose lines have a `record_id`.
"""

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from stack.pipelines.errors import PipelineError
from stack.pipelines.trail.lineage import RECORD_SHA256, STAGES

LABELS, CARD, DROPPED = "labels.parquet", "card.json", "dropped.jsonl"
FALLBACK = (LABELS, "labels.jsonl", "labels.csv")
"""Where a card names no files, the first of these that is there."""

TEXT = "text"
TOLD = ("source", "row", "source_id", "language", RECORD_SHA256)
OUTCOME = ("label", "probability", "gold")
NUMBERS = {"row": int, "probability": float}
"""What is a number everywhere: in CSV all is text."""


def trace(out_folder: Path, record_id: str) -> dict[str, Any]:
    """All that a finished folder knows of one record, without its text. PipelineError when the folder or the record is not there.

    `stages`: those that it went through, `changed_text` None where it was not kept. `votes`: by labeler, all columns NAME_*.
    `columns`: what stages added beside. `logs`: by file. `dropped`: None, or stage, reason and detail. `stood_in_for`: the records
    that were dropped as copies of it.
    """
    card = _card(out_folder)
    files = _data_files(out_folder, card)
    found = next(((path.name, row) for path in files if (row := _row(path, record_id)) is not None), None)
    dropped, stood_in_for = _dropped(out_folder / DROPPED, record_id)
    if found is not None:
        told = {"file": found[0], **_kept(found[1], card), "dropped": None}
    elif dropped is not None:
        told = {"file": None, **_left_out(dropped, card)}
    else:
        names = ", ".join(path.name for path in files)
        raise PipelineError(f"record {record_id} is neither in {names} nor in {DROPPED} of {out_folder}: take a record_id from one of them")
    others = [path for path in [*sorted(out_folder.glob("*.jsonl")), *sorted(out_folder.glob("notes/*.jsonl"))] if path.name != DROPPED and path not in files]
    return {
        "record_id": record_id,
        **told,
        "source_file": _source_file(card, told["source"]),
        "stood_in_for": stood_in_for,
        "logs": {path.name: lines for path in others if (lines := [_without_text(line) for line in _lines(path, record_id)])},
    }


def _kept(row: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, Any]:
    changed = set(filter(None, (row.get(STAGES) or "").split(","))) if STAGES in row else None
    labelers = {labeler["name"]: labeler for labeler in card.get("labelers", [])}
    votes: dict[str, dict[str, Any]] = {name: {what: each.get(what) for what in ("kind", "model", "digest")} for name, each in labelers.items()}
    rest: dict[str, Any] = {}
    for column, value in row.items():
        # `a_b_label` is labeler a_b's, not a's.
        owner = max((name for name in labelers if column.startswith(f"{name}_")), key=len, default=None)
        if owner is not None:
            votes[owner][column.removeprefix(f"{owner}_")] = value
        elif column not in ("record_id", STAGES, "split", *TOLD, *OUTCOME):
            rest[column] = value
    return {
        **{name: row.get(name) for name in TOLD},
        "stages": [_passed(stage, changed) for stage in card.get("stages", [])],
        "votes": votes,
        "outcome": {name: row.get(name) for name in OUTCOME},
        "split": row.get("split"),
        "columns": rest,
    }


def _left_out(dropped: Mapping[str, Any], card: Mapping[str, Any]) -> dict[str, Any]:
    """The stages up to and with the one that dropped it; a stage that the card does not name leaves the list empty."""
    stages: Sequence[Mapping[str, Any]] = card.get("stages", [])
    kinds = [stage.get("kind") for stage in stages]
    reached = kinds.index(dropped["stage"]) + 1 if dropped.get("stage") in kinds else 0
    return {
        **{name: dropped.get(name) for name in TOLD},
        "stages": [_passed(stage, None) for stage in stages[:reached]],
        "votes": {},
        "outcome": None,
        "split": None,
        "columns": {},
        "dropped": {name: dropped.get(name) for name in ("stage", "reason", "detail")},
    }


def _passed(stage: Mapping[str, Any], changed: set[str] | None) -> dict[str, Any]:
    said = {name: stage.get(name) for name in ("kind", "version", "digest", "words")}
    return {**said, "changed_text": None if changed is None else stage.get("kind") in changed}


def _source_file(card: Mapping[str, Any], source: str | None) -> dict[str, Any] | None:
    """What the card says of the file that a record was read from."""
    known = next((each for each in card.get("sources", []) if each.get("name") == source), None)
    return None if known is None else {name: known.get(name) for name in ("file", "sha256", "licence", "origin", "credit", "consent")}


def _card(out_folder: Path) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads((out_folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{out_folder} has no {CARD}: give the --out folder of a finished run") from None
    except (OSError, ValueError) as error:
        raise PipelineError(f"{out_folder / CARD} cannot be read: {error}") from None
    return card


def _data_files(out_folder: Path, card: Mapping[str, Any]) -> list[Path]:
    """Those that the card says hold records, Parquet first, which is quickest to search."""
    named = [file["name"] for file in card.get("files", []) if file.get("records") is not None]
    there = [out_folder / name for name in sorted(named, key=lambda name: not name.endswith(".parquet")) if (out_folder / name).is_file()]
    if not there:
        there = [out_folder / name for name in FALLBACK if (out_folder / name).is_file()][:1]
    if not there:
        raise PipelineError(f"{out_folder} has none of its data files ({', '.join(named or FALLBACK)}): give the --out folder of a finished run")
    return there


def _row(path: Path, record_id: str) -> dict[str, Any] | None:
    """The row without its text."""
    read = {".parquet": _parquet_rows, ".jsonl": _lines, ".csv": _csv_rows}.get(path.suffix)
    if read is None or not record_id:
        return None
    try:
        row = next(read(path, record_id), None)
    except (OSError, ValueError, csv.Error) as error:
        raise PipelineError(f"{path} cannot be read: {error}") from None
    return None if row is None else _without_text(row)


def _parquet_rows(path: Path, record_id: str) -> Iterator[dict[str, Any]]:
    """One row group at a time, and only the ids of those that hold another record."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            place = pc.index(file.read_row_group(group, columns=["record_id"]).column("record_id"), record_id).as_py()
            if place >= 0:
                columns = [name for name in file.schema_arrow.names if name != TEXT]
                yield from file.read_row_group(group, columns=columns).slice(place, 1).to_pylist()


def _lines(path: Path, record_id: str) -> Iterator[dict[str, Any]]:
    """Lines of that record; only those that can be it are parsed, and one that is no JSON is none."""
    wanted = record_id.encode()
    with path.open("rb") as lines:
        for line in lines:
            if wanted in line:
                try:
                    found = json.loads(line)
                except ValueError:
                    continue
                if isinstance(found, dict) and found.get("record_id") == record_id:
                    yield found


def _csv_rows(path: Path, record_id: str) -> Iterator[dict[str, Any]]:
    """Empty fields are None."""
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row.get("record_id") == record_id:
                yield {name: NUMBERS.get(name, str)(value) if value else None for name, value in row.items()}


def _dropped(path: Path, record_id: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The record's own line, and the ids of records that were dropped in its favour."""
    own: dict[str, Any] | None = None
    copies: list[str] = []
    if not record_id or not path.is_file():
        return own, copies
    wanted = record_id.encode()
    with path.open("rb") as lines:
        for line in lines:
            # Most lines are another record's: parse only those that can speak of this one.
            if wanted not in line:
                continue
            found = json.loads(line)
            if found.get("record_id") == record_id:
                own = dict(found)
            elif found.get("detail") == record_id and found.get("record_id"):
                copies.append(found["record_id"])
    return own, copies


def _without_text(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != TEXT}
