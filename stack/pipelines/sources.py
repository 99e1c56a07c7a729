"""Read CSV and JSON Lines into records (edge). A bad row is dropped and named; a bad file is an error."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stack.pipelines.errors import PipelineError
from stack.pipelines.records import Dropped, Record
from stack.pipelines.spec import Source

Row = dict[str, Any] | None
"""None stands for a row that could not be parsed."""


def read_source(source: Source, labels: tuple[str, ...]) -> tuple[list[Record], list[Dropped]]:
    """All records of one source. PipelineError when the file, a named column or a gold label does not fit the pipeline."""
    records: list[Record] = []
    dropped: list[Dropped] = []
    try:
        for row, fields in enumerate(_csv_rows(source) if source.format == "csv" else _jsonl_rows(source.path)):
            text = None if fields is None else fields.get(source.text)
            if fields is None or not isinstance(text, str):
                dropped.append(Dropped(source.name, row, "malformed"))
                continue
            gold = _text(fields, source.gold)
            if gold is not None and gold not in labels:
                raise PipelineError(f"{source.path.name}: row {row}: gold label {gold!r} in column `{source.gold}` is not among `labels`: {', '.join(labels)}")
            records.append(Record(source.name, row, text, gold=gold, source_id=_text(fields, source.id), language=source.language))
    except OSError as error:
        raise PipelineError(f"source `{source.name}`: {source.path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PipelineError(f"source `{source.name}`: {source.path.name} is not UTF-8 (byte {error.start}): convert it first") from None
    except csv.Error as error:
        raise PipelineError(f"source `{source.name}`: {source.path.name} is not readable CSV: {error}") from None
    if not records:
        raise PipelineError(f"source `{source.name}`: {source.path.name} has no record with a text in `{source.text}`")
    return records, dropped


def _csv_rows(source: Source) -> Iterator[Row]:
    with source.path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        columns = reader.fieldnames or []
        for wanted in (source.text, source.gold, source.id):
            if wanted is not None and wanted not in columns:
                raise PipelineError(f"source `{source.name}`: {source.path.name} has no column `{wanted}`; its columns are: {', '.join(columns) or 'none'}")
        for fields in reader:
            # A short row lacks values, a long one has them under None: either way the columns have slipped.
            yield None if None in fields or None in fields.values() else fields


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            yield value if isinstance(value, dict) else None


def _text(fields: dict[str, Any], column: str | None) -> str | None:
    value = None if column is None else fields.get(column)
    return None if value is None or value == "" else str(value)
