"""Parquet by row groups: a group that cannot be decoded loses just its rows, counted by the footer."""

from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from stack.pipelines.errors import PipelineError
from stack.pipelines.readers.lines import too_long
from stack.pipelines.readers.models import Bad, Fault, Row, Source, Split, label_text
from stack.pipelines.readers.tables import NUL, Result, require_columns

PIECES = 16
"""A row group is decoded whole for each of its pieces: no more of them than this."""


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `end` of row groups, counted from the first of them."""

    groups: tuple[int, ...]
    start: int
    end: int


def plan_parquet(source: Source, name: str, stream: IO[bytes], records: int) -> list[Piece]:
    """Whole row groups put together up to `records` rows, larger ones cut. Fault `unreadable` when the footer is."""
    file = _open(stream)
    _require_text(source, name, file.schema_arrow)
    pieces: list[Piece] = []
    groups: list[int] = []
    held = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if held and held + rows > records:
            pieces.append(Piece(tuple(groups), 0, held))
            groups, held = [], 0
        if rows > records:
            step = max(records, -(-rows // PIECES))
            pieces += [Piece((group,), start, min(start + step, rows)) for start in range(0, rows, step)]
        elif rows:
            groups.append(group)
            held += rows
    return [*pieces, Piece(tuple(groups), 0, held)] if held else pieces


def _open(stream: IO[bytes]) -> Any:
    """The file, once its footer agrees with itself. Fault `unreadable` when it does not.

    Nothing is asked of the columns' metadata here: on a broken footer pyarrow 26 ends the process there (an uncaught C++ exception).
    """
    try:
        file = pq.ParquetFile(stream, page_checksum_verification=True)
        counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        names = file.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise Fault("unreadable", f"Parquet footer: {error}") from None
    if not names or min(counts, default=0) < 0 or sum(counts) != file.metadata.num_rows:
        raise Fault("unreadable", "Parquet footer: its counts of rows contradict one another")
    return file


def _require_text(source: Source, name: str, schema: pa.Schema) -> None:
    require_columns(source, name, schema.names)
    kind = schema.field(source.text).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise PipelineError(f"source `{source.name}`: {name}: column `{source.text}` holds {kind}, not text")


def read_parquet(source: Source, stream: IO[bytes], split: Split) -> Result:
    """The rows of the split. Of a group that cannot be decoded, each row is a bad one."""
    rows: list[Row] = []
    bad: list[Bad] = []
    try:
        file = _open(stream)
    except Fault as fault:
        return [], [fault.at(split.first_row)]
    at, stop = split.first_row - split.start, split.start if split.end is None else split.first_row - split.start + split.end
    for group in split.groups:
        count = file.metadata.row_group(group).num_rows
        first, last = max(at, split.first_row), min(at + count, stop)
        try:
            table = file.read_row_group(group, columns=list(source.columns))
            if table.num_rows != count:
                raise pa.ArrowInvalid(f"{table.num_rows} rows where the footer has {count}")
            _convert(source, table.slice(first - at, last - first), first, rows, bad)
        except (pa.ArrowException, OSError) as error:
            lost = Fault("unreadable", f"row group {group}: {error}")
            bad += [lost.at(row) for row in range(first, last)]
        at += count
    return rows, bad


def _convert(source: Source, table: pa.Table, first: int, rows: list[Row], bad: list[Bad]) -> None:
    texts = _values(table, source.text)
    golds = _values(table, source.gold) if source.gold else [None] * len(texts)
    keys = _values(table, source.id) if source.id else [None] * len(texts)
    limit, language = source.max_record_bytes, source.language
    for row, (text, gold, key) in enumerate(zip(texts, golds, keys, strict=True), first):
        if isinstance(text, str) and len(text) * 4 <= limit and NUL not in text and not isinstance(gold, bytes) and not isinstance(key, bytes):
            rows.append(Row(row, text, label_text(gold), label_text(key), language, {}))
            continue
        fault = _fault(text, gold, key, limit)
        if fault is None:
            rows.append(Row(row, text, label_text(gold), label_text(key), language, {}))
        else:
            bad.append(fault.at(row))


def _fault(text: Any, gold: Any, key: Any, limit: int) -> Fault | None:
    if text is None:
        return Fault("malformed", "the text is null")
    if any(isinstance(value, bytes) for value in (text, gold, key)):
        return Fault("not_utf8", "the column's bytes are not UTF-8")
    if (length := len(text.encode())) > limit:
        return too_long(length, limit)
    return Fault("malformed", "a NUL byte in the text") if NUL in text else None


def _values(table: pa.Table, name: str) -> list[Any]:
    """Python values; of text that is not UTF-8, the bytes."""
    column = table.column(name)
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        values = [_text_or_bytes(value) for value in column.cast(pa.large_binary()).to_pylist()]
    return values


def _text_or_bytes(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value
