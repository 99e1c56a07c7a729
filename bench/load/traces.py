"""Recorded traces: when requests came and how long they were (edge: reads the file)."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from bench.errors import BenchError
from bench.workload.arrivals import Trace

NS = 1_000_000_000


@dataclass(frozen=True)
class TraceRow:
    """One request of a trace; `at_ns` counts from the first kept row, at the speed it is replayed with."""

    at_ns: int
    input_tokens: int
    output_tokens: int
    prefix_hashes: tuple[int, ...] = ()


Raw = tuple[int, int, int, tuple[int, ...]]
"""Nanoseconds on the trace's own clock, input tokens, output tokens, prefix hashes."""


def read_trace(arrivals: Trace) -> list[TraceRow]:
    """All rows in order of time; those without any output, which are failures in BurstGPT, are left out. BenchError names file, line and field."""
    rows = sorted(_rows(arrivals.file, _READERS[arrivals.format]))
    rows = [row for row in rows if row[2] > 0]
    if rows:
        from_ns = rows[0][0] + round(arrivals.from_s * NS)
        rows = [row for row in rows if row[0] >= from_ns]
    if not rows:
        raise BenchError(f"field `arrivals.file`: {arrivals.file}: no request with any output in it after `from_s`")
    zero = rows[0][0]
    return [TraceRow(round((at - zero) / arrivals.speedup), asked, answered, hashes) for at, asked, answered, hashes in rows]


def _rows(path: Path, reader: Callable[[TextIO], Iterator[tuple[int, Callable[[], Raw]]]]) -> Iterator[Raw]:
    try:
        with path.open(encoding="utf-8", newline="") as source:
            for line, row in reader(source):
                try:
                    yield row()
                except KeyError as error:
                    raise BenchError(f"{path}, line {line}: field {error} is missing") from None
                except (ValueError, TypeError) as error:
                    raise BenchError(f"{path}, line {line}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"field `arrivals.file`: {path}: cannot be read: {error}") from None


def _azure(source: TextIO) -> Iterator[tuple[int, Callable[[], Raw]]]:
    """TIMESTAMP with 100 ns, ContextTokens, GeneratedTokens."""
    for line, row in enumerate(csv.DictReader(source), 2):
        yield line, lambda row=row: (_wall_ns(row["TIMESTAMP"]), int(row["ContextTokens"]), int(row["GeneratedTokens"]), ())  # type: ignore[misc]


def _burstgpt(source: TextIO) -> Iterator[tuple[int, Callable[[], Raw]]]:
    """Timestamp in seconds, Request tokens, Response tokens."""
    for line, row in enumerate(csv.DictReader(source), 2):
        yield line, lambda row=row: (round(float(row["Timestamp"]) * NS), int(row["Request tokens"]), int(row["Response tokens"]), ())  # type: ignore[misc]


def _mooncake(source: TextIO) -> Iterator[tuple[int, Callable[[], Raw]]]:
    """timestamp in ms, input_length, output_length, hash_ids."""

    def parse(text: str) -> Raw:
        row = json.loads(text)
        return round(row["timestamp"] * 1_000_000), int(row["input_length"]), int(row["output_length"]), tuple(map(int, row["hash_ids"]))

    for line, text in enumerate(source, 1):
        if text.strip():
            yield line, lambda text=text: parse(text)  # type: ignore[misc]


_READERS = {"azure": _azure, "burstgpt": _burstgpt, "mooncake": _mooncake}


def _wall_ns(text: str) -> int:
    """datetime knows microseconds only; the seventh digit is the trace's own."""
    whole, _, fraction = text.strip().partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * NS + int(fraction[:9].ljust(9, "0") or 0)
