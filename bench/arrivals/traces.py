"""Recorded traces: when requests came and how long they were (edge: reads the file).

Published: Azure/AzurePublicDataset (AzureLLMInferenceDataset2023.md and 2024), HPMLL/BurstGPT (README, Schema) and
kvcache-ai/Mooncake (FAST25-release), whose `hash_ids` name the prompt's blocks of 512 tokens.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from bench.errors import BenchError
from bench.workload.arrivals import Trace

NS = 1_000_000_000
NS_PER_MS = 1_000_000
LONGEST_NS = 2**62
"""More than a century: what an array of 64-bit times can hold."""
MOST_TOKENS = 10_000_000


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One request of a trace; `at_ns` counts from the first kept row, at the speed it is replayed with."""

    at_ns: int
    input_tokens: int
    output_tokens: int
    prefix_hashes: tuple[int, ...] = ()


@dataclass(frozen=True)
class TraceReading:
    """The rows to replay in order of time, and how many others had no output and are left out."""

    rows: list[TraceRow]
    without_output: int


def read_trace(arrivals: Trace) -> list[TraceRow]:
    """The rows to replay; see `scan_trace`."""
    return scan_trace(arrivals).rows


def scan_trace(arrivals: Trace) -> TraceReading:
    """All rows from `from_s` on, counted from the first one in the file, rows of one moment in the order of the file.

    Rows without output tokens are left out: in BurstGPT they are requests that failed. BenchError names file, line and field.
    """
    found = sorted(_rows(arrivals.file, FORMATS[arrivals.format]), key=lambda row: row[0])
    from_ns = found[0][0] + round(arrivals.from_s * NS) if found else 0
    late = [row for row in found if row[0] >= from_ns]
    kept = [row for row in late if row[2] > 0]
    if not kept:
        reason = "holds no request" if not found else "holds no request with any output" + (" from `from_s` on" if arrivals.from_s else "")
        raise BenchError(f"field `arrivals.file`: {arrivals.file}: {reason}")
    zero_ns = kept[0][0]
    if kept[-1][0] - zero_ns > LONGEST_NS * arrivals.speedup:
        raise BenchError(f"field `arrivals.speedup`: {arrivals.file} lasts more than a century at {arrivals.speedup:g} times its speed")
    rows = [TraceRow(round((at_ns - zero_ns) / arrivals.speedup), asked, answered, hashes) for at_ns, asked, answered, hashes in kept]
    return TraceReading(rows, without_output=len(late) - len(kept))


Raw = tuple[int, int, int, tuple[int, ...]]
"""Nanoseconds on the trace's own clock, input tokens, output tokens, prefix hashes."""


@dataclass(frozen=True)
class Format:
    """Field names of time, input, output and perhaps hashes; how a file becomes their values, line by line; how a time becomes ns."""

    fields: tuple[str, ...]
    records: "Callable[[Path, TextIO, tuple[str, ...]], Iterator[tuple[int, Sequence[Any]]]]"
    clock: Callable[[Any], int]

    @property
    def parsers(self) -> tuple[Callable[[Any], Any], ...]:
        return (self.clock, _whole, _whole, _hashes)[: len(self.fields)]


def _rows(path: Path, form: Format) -> Iterator[Raw]:
    clock, hashed = form.clock, len(form.fields) > 3
    try:
        with path.open(encoding="utf-8-sig", newline="") as source:
            for line, values in form.records(path, source, form.fields):
                try:
                    yield clock(values[0]), _whole(values[1]), _whole(values[2]), _hashes(values[3]) if hashed else ()
                except (ValueError, TypeError, OverflowError):
                    raise _fault(path, line, form, values) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"field `arrivals.file`: {path}: cannot be read: {error}") from None


def _fault(path: Path, line: int, form: Format, values: Sequence[Any]) -> BenchError:
    """The first field that cannot be read, found by reading each again."""
    for name, parse, value in zip(form.fields, form.parsers, values, strict=True):
        try:
            parse(value)
        except (ValueError, TypeError, OverflowError) as error:
            return BenchError(f"{path}, line {line}: field `{name}`: {error}")
    raise AssertionError(f"{path}, line {line}: read at the second attempt")


def _csv_records(path: Path, source: TextIO, fields: tuple[str, ...]) -> Iterator[tuple[int, Sequence[str]]]:
    """By the names in the first line: files have had columns added."""
    reader = csv.reader(source)
    try:
        header = [name.strip() for name in next(reader, [])]
        if missing := [name for name in fields if name not in header]:
            raise BenchError(f"{path}, line 1: no column `{missing[0]}`: is `arrivals.format` right?")
        places = [header.index(name) for name in fields]
        for row in reader:
            if row:
                yield reader.line_num, [row[place] if place < len(row) else "" for place in places]
    except csv.Error as error:
        raise BenchError(f"{path}, line {reader.line_num}: {error}") from None


def _json_records(path: Path, source: TextIO, fields: tuple[str, ...]) -> Iterator[tuple[int, Sequence[Any]]]:
    for line, text in enumerate(source, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BenchError(f"{path}, line {line}: not JSON: {error}; is `arrivals.format` right?") from None
        if not isinstance(row, dict):
            raise BenchError(f"{path}, line {line}: must hold one JSON object")
        yield line, [row.get(name) for name in fields]


def _wall_ns(text: str) -> int:
    """`2023-11-16 18:17:03.9799600`, since 1970, in UTC where no offset is given.

    datetime holds no more than microseconds; the seventh digit is the trace's own.
    """
    whole, _, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    offset = rest[len(digits) :]
    try:
        moment = datetime.fromisoformat(whole + offset)
        return int((moment if moment.tzinfo else datetime.fromisoformat(whole + "+00:00")).timestamp()) * NS + int(digits[:9].ljust(9, "0"))
    except ValueError:
        raise ValueError(f"must be a time as in 2023-11-16 18:17:03.9799600, got {_short(text)}") from None


def _seconds_ns(text: str) -> int:
    try:
        return round(float(text) * NS)
    except (ValueError, OverflowError):
        raise ValueError(f"must be a number of seconds, got {_short(text)}") from None


def _milliseconds_ns(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"must be a number of ms, got {_short(value)}")
    try:
        return round(value * NS_PER_MS)
    except (ValueError, OverflowError):
        raise ValueError(f"must be a number of ms, got {_short(value)}") from None


def _whole(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if type(number) is not int or not 0 <= number <= MOST_TOKENS:
        raise ValueError(f"must be a whole number from 0 to {MOST_TOKENS}, got {_short(value)}")
    return number


def _hashes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or any(type(each) is not int for each in value):
        raise TypeError(f"must be a list of whole numbers, got {_short(value)}")
    return tuple(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


FORMATS = {
    "azure": Format(("TIMESTAMP", "ContextTokens", "GeneratedTokens"), _csv_records, _wall_ns),
    "burstgpt": Format(("Timestamp", "Request tokens", "Response tokens"), _csv_records, _seconds_ns),
    "mooncake": Format(("timestamp", "input_length", "output_length", "hash_ids"), _json_records, _milliseconds_ns),
}
