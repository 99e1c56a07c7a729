"""Cut the files of a source into splits, in one quick scan that never holds a file (edge)."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stack.pipelines.errors import PipelineError
from stack.pipelines.readers.files import chunks, list_files, open_file, require
from stack.pipelines.readers.lines import BOM, csv_records, lines
from stack.pipelines.readers.models import Fault, Source, Split, format_of
from stack.pipelines.readers.parquet import plan_parquet
from stack.pipelines.readers.tables import csv_columns
from stack.pipelines.readers.warc import plan_warc

MAX_PIECE_BYTES = 64 << 20
"""A piece is held in memory by whoever reads it, so it is cut here even when its rows are few."""
SKIPPED_PARTS = 16
"""A piece of a .gz file is at least a 16th of what must be decompressed to reach it, so that all pieces together cost at most 17 readings."""
SAMPLE = 1000
PACKAGES = {"html": "selectolax", "eml": "selectolax", "pdf": "pypdf", "warc": "warcio"}
Ends = Iterator[NDArray[np.int64]]


def plan_splits(source: Source, *, records: int) -> list[Split]:
    """Pieces of about `records` rows, files in sorted order; a split never holds rows of two tables.

    PipelineError for a path, a column, a format or a package that is not there; a stray file among others is a bad row instead.
    """
    splits: list[Split] = []
    row = 0
    files = list_files(source)
    for path in files:
        try:
            kind, compression = format_of(source, path)
        except PipelineError:
            if len(files) == 1:
                raise
            splits.append(Split(source.name, (path,), "unknown", row, 1))
            row += 1
            continue
        if package := PACKAGES.get(kind):
            require(package, source)
        if kind in {"html", "pdf", "eml"} or (kind == "text" and source.per == "file"):
            one = Split(source.name, (path,), kind, row, 1, compression)
            if _fits(splits, one, records):
                splits[-1] = replace(splits[-1], paths=(*splits[-1].paths, path), rows=splits[-1].rows + 1)
            else:
                splits.append(one)
            row += 1
            continue
        for split in _plan_file(source, Split(source.name, (path,), kind, row, 0, compression), records):
            splits.append(replace(split, first_row=row))
            row += split.rows
    if splits and all(split.format == "unknown" for split in splits):
        format_of(source, splits[0].path)
    return splits


def _fits(splits: list[Split], one: Split, records: int) -> bool:
    return bool(splits) and (splits[-1].format, splits[-1].compression) == (one.format, one.compression) and splits[-1].rows < records


def _plan_file(source: Source, whole: Split, records: int) -> list[Split]:
    gzipped = whole.compression == "gzip"
    with open_file(source, whole.path) as stream:
        if whole.format == "parquet":
            try:
                pieces = plan_parquet(source, whole.path.rsplit("/", 1)[-1], stream, records)
            except Fault:
                return [replace(whole, rows=1)]
            return [replace(whole, groups=piece.groups, start=piece.start, end=piece.end, rows=piece.end - piece.start) for piece in pieces]
        if whole.format == "warc":
            found = plan_warc(stream, gzipped, records)
        else:
            start = _start(source, whole.path, stream, gzipped)
            if whole.format == "jsonl":
                _check_jsonl(source, whole.path, lines(chunks(stream, gzipped=gzipped, start=start), source.max_record_bytes))
            data = chunks(stream, gzipped=gzipped, start=start)
            found = cut(_csv_ends(source, data, start) if whole.format == "csv" else _line_ends(data, start), start, records, gzipped=gzipped)
    return [replace(whole, start=start, end=end, rows=rows) for start, end, rows in found]


def _start(source: Source, path: str, stream: IO[bytes], gzipped: bool) -> int:
    """First byte after the byte order mark, and after a CSV header."""
    kind, _ = format_of(source, path)
    if kind == "csv":
        return csv_columns(source, path, lines(chunks(stream, gzipped=gzipped), source.max_record_bytes))[1]
    try:
        first = next(chunks(stream, gzipped=gzipped, end=len(BOM)), b"")
    except Fault:
        first = b""
    return len(BOM) if first == BOM else 0


def _check_jsonl(source: Source, path: str, some: Iterable[Any]) -> None:
    """PipelineError when none of the first objects has a column that is asked for."""
    names: set[str] = set()
    objects = 0
    try:
        for line in islice(some, SAMPLE):
            try:
                value = msgspec.json.decode(line) if isinstance(line, bytes) else None
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if isinstance(value, dict):
                objects += 1
                names.update(value)
    except Fault:
        pass
    missing = [name for name in source.columns if name not in names]
    if objects and missing:
        known = ", ".join(sorted(names))[:500] or "none"
        raise PipelineError(f"source `{source.name}`: {path.rsplit('/', 1)[-1]}: none of the first {objects} objects has `{missing[0]}`; they have: {known}")


def _line_ends(data: Iterable[bytes], position: int) -> Ends:
    """Offsets after each newline, chunk by chunk; a last line without one, or a broken stream, ends one byte on."""
    last = position
    try:
        for chunk in data:
            found = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == 10) + (position + 1)
            position += len(chunk)
            if len(found):
                last = int(found[-1])
                yield found
    except Fault:
        position = last + 1
    if position > last:
        yield np.array([position])


def _csv_ends(source: Source, data: Iterable[bytes], position: int) -> Ends:
    batch: list[int] = []
    try:
        for _, taken in csv_records(lines(data, source.max_record_bytes), source.max_record_bytes):
            position += taken
            batch.append(position)
            if len(batch) >= 4096:
                yield np.array(batch)
                batch = []
    except Fault:
        batch.append(position + 1)
    if batch:
        yield np.array(batch)


def cut(ends: Ends, start: int, records: int, *, gzipped: bool) -> list[tuple[int, int | None, int]]:
    """(start, end, rows) of each piece; the last one's end is None, the end of the file."""
    pieces: list[tuple[int, int | None, int]] = []
    rows = 0
    for found in ends:
        at = 0
        while at < len(found):
            wanted = at + max(0, records - rows - 1)
            if gzipped:
                wanted = max(wanted, int(np.searchsorted(found, start + start // SKIPPED_PARTS)))
            wanted = max(at, min(wanted, int(np.searchsorted(found, start + MAX_PIECE_BYTES))))
            if wanted >= len(found):
                rows += len(found) - at
                break
            rows += wanted - at + 1
            pieces.append((start, int(found[wanted]), rows))
            start, rows, at = int(found[wanted]), 0, wanted + 1
    if rows:
        pieces.append((start, None, rows))
    elif pieces:
        pieces[-1] = (pieces[-1][0], None, pieces[-1][2])
    return pieces
