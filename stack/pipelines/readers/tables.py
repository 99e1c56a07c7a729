"""Rows out of lines: JSON Lines, CSV, plain text. One bad line spoils just itself."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from stack.pipelines.errors import PipelineError
from stack.pipelines.readers.lines import BOM, Line, Long, csv_records, too_long
from stack.pipelines.readers.models import Bad, Fault, Row, Source, label_text

Result = tuple[list[Row], list[Bad]]
NUL = "\0"


def decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise Fault("not_utf8", f"byte {error.start} of the record") from None


def checked(text: str) -> str:
    """NUL ends a string in too many programs downstream to let it through."""
    if NUL in text:
        raise Fault("malformed", "a NUL byte in the text")
    return text


def read_jsonl(source: Source, lines: Iterable[Line], first_row: int) -> Result:
    """One object a line. Only the columns that are asked for are made into Python objects."""
    names = source.columns
    kinds: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        (f"c{at}", str) if name == source.text else (f"c{at}", str | int | float | bool | None, None) for at, name in enumerate(names)
    ]
    record = msgspec.defstruct("Record", kinds, rename={f"c{at}": name for at, name in enumerate(names)}, gc=False)
    decode = msgspec.json.Decoder(record).decode
    gold, key, language = _fields(source)
    rows: list[Row] = []
    bad: list[Bad] = []
    row = first_row - 1
    try:
        for row, line in enumerate(lines, first_row):
            try:
                if isinstance(line, Long):
                    raise too_long(line.size, source.max_record_bytes)
                if not line.isascii():
                    line.decode()
                value: Any = decode(line)
                text = value.c0
                if NUL in text:
                    checked(text)
                rows.append(Row(row, text, label_text(getattr(value, gold)) if gold else None, label_text(getattr(value, key)) if key else None, language, {}))
            except Fault as fault:
                bad.append(fault.at(row))
            except UnicodeDecodeError as error:
                bad.append(Fault("not_utf8", f"byte {error.start} of the record").at(row))
            except (msgspec.MsgspecError, RecursionError) as error:
                bad.append(Fault("malformed", "nested too deeply" if isinstance(error, RecursionError) else error).at(row))
    except Fault as fault:  # the stream broke: what comes after is lost
        bad.append(fault.at(row + 1))
    return rows, bad


def _fields(source: Source) -> tuple[str | None, str | None, str]:
    names = source.columns
    return (f"c{names.index(source.gold)}" if source.gold else None, f"c{names.index(source.id)}" if source.id else None, source.language)


def read_text(source: Source, lines: Iterable[Line], first_row: int) -> Result:
    """One record a line; an empty line is an empty record."""

    def one(row: int, line: Line) -> Row:
        if isinstance(line, Long):
            raise too_long(line.size, source.max_record_bytes)
        return Row(row, checked(decoded(line.removesuffix(b"\r"))), None, None, source.language, {})

    return collect(enumerate(lines, first_row), one, first_row)


def read_csv(source: Source, lines: Iterable[Line], first_row: int, columns: list[str]) -> Result:
    """Records after the header line, whose names are `columns`."""
    csv.field_size_limit(max(csv.field_size_limit(), source.max_record_bytes))

    place = {name: at for at, name in enumerate(columns)}  # of columns with one name the last
    width, text_at = len(columns), place[source.text]
    gold_at, key_at = (place[name] if name else None for name in (source.gold, source.id))
    language = source.language

    def one(row: int, record: bytes | Fault) -> Row:
        if isinstance(record, Fault):
            raise record
        fields = csv_fields(record)
        if len(fields) != width:  # short or long: either way the columns have slipped
            raise Fault("malformed", f"{len(fields)} fields, the header has {width}")
        gold = None if gold_at is None else fields[gold_at] or None
        key = None if key_at is None else fields[key_at] or None
        return Row(row, checked(fields[text_at]), gold, key, language, {})

    records = (record for record, _ in csv_records(lines, source.max_record_bytes))
    return collect(enumerate(records, first_row), one, first_row)


def csv_fields(record: bytes) -> list[str]:
    line = decoded(record.removesuffix(b"\r"))
    if '"' not in line and "\r" not in line:
        return line.split(",")
    try:
        return next(csv.reader((line,), strict=True))
    except csv.Error as error:
        raise Fault("malformed", error) from None


def csv_columns(source: Source, path: str, lines: Iterator[Line]) -> tuple[list[str], int]:
    """Names of the header line and its bytes. PipelineError when it is missing or lacks a column."""
    name = path.rsplit("/", 1)[-1]
    try:
        record, taken = next(csv_records(lines, source.max_record_bytes), (b"", 0))
        if isinstance(record, Fault):
            raise record
        columns = csv_fields(record.removeprefix(BOM)) if record else []
    except Fault as fault:
        raise PipelineError(f"source `{source.name}`: {name}: the header line is {fault.reason}: {fault.detail}") from None
    require_columns(source, name, columns)
    return columns, taken


def require_columns(source: Source, name: str, columns: list[str]) -> None:
    for wanted in source.columns:
        if wanted not in columns:
            raise PipelineError(f"source `{source.name}`: {name} has no column `{wanted}`; its columns are: {', '.join(columns)[:500] or 'none'}")


def collect(numbered: Iterable[tuple[int, Any]], one: Any, first_row: int) -> Result:
    """`one` of every record, its Fault a bad row; a Fault of the iterable itself is the last row."""
    rows: list[Row] = []
    bad: list[Bad] = []
    row = first_row - 1
    try:
        for row, record in numbered:
            try:
                rows.append(one(row, record))
            except Fault as fault:
                bad.append(fault.at(row))
    except Fault as fault:
        bad.append(fault.at(row + 1))
    return rows, bad
