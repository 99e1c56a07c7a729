"""system.parquet: what the watch read, one row a value, with a description of the watch in its metadata (edge).

Stamps are nanoseconds from the start of the run, as in the other two files; values taken before it are negative.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from bench.errors import BenchError
from bench.results.files import SYSTEM
from bench.system.models import SourceState, WatchInfo
from bench.system.readings import SOURCES, Line, read_lines
from stack.runtime.errors import describe_validation
from stack.runtime.files import atomic_path

WATCH_KEY = b"stackproof.system"

_NAME = pa.dictionary(pa.int32(), pa.string())
SYSTEM_SCHEMA = pa.schema(
    [
        pa.field("t_ns", pa.int64(), nullable=False),
        pa.field("source", _NAME, nullable=False),
        pa.field("metric", _NAME, nullable=False),
        pa.field("labels", _NAME, nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class SystemTable:
    """Columns as in SYSTEM_SCHEMA, in the order of time."""

    info: WatchInfo
    rows: pa.Table


def write_table(samples: Path, out: Path, *, started_ns: int, fault: str = "") -> None:
    """Turn a samples file into system.parquet in `out`; one that is cut off, or is not there, gives fewer rows."""
    about: dict[str, Any] = {}
    lines: list[Line] = []
    if samples.exists():
        with samples.open(encoding="utf-8", errors="replace") as stream:
            for line in read_lines(stream):
                if isinstance(line, Line):
                    lines.append(line)
                else:
                    about |= line
    lines.sort(key=lambda line: line.t_ns)
    faults = [fault, f"live metrics were not served: {about['live_failed']}" if "live_failed" in about else ""]
    info = WatchInfo(
        started_ns=started_ns,
        every_s=float(about.get("every_s", 0)),
        metrics_url=str(about.get("metrics_url", "")),
        same_host=bool(about["same_host"]) if about.get("same_host") is not None else None,
        sources={source: _state([line for line in lines if line.source == source]) for source in SOURCES},
        fault="; ".join(filter(None, faults)),
    )
    rows = [(line.t_ns - started_ns, line.source, *reading) for line in lines for reading in line.readings]
    columns = list(zip(*rows, strict=True)) or [()] * len(SYSTEM_SCHEMA)
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, SYSTEM_SCHEMA, strict=True)], schema=SYSTEM_SCHEMA)
    _write(SystemTable(info, table), out)


def rebase_table(out: Path, *, started_ns: int) -> None:
    """Let the stamps of a system.parquet in `out` count from another start."""
    found = read_table(out / SYSTEM)
    moved = pc.add(found.rows["t_ns"], found.info.started_ns - started_ns)
    rows = found.rows.set_column(0, SYSTEM_SCHEMA.field("t_ns"), moved)
    _write(SystemTable(found.info.model_copy(update={"started_ns": started_ns}), rows), out)


def _write(table: SystemTable, out: Path) -> None:
    described = table.rows.replace_schema_metadata({WATCH_KEY: table.info.model_dump_json().encode()})
    with atomic_path(out / SYSTEM) as path:
        pq.write_table(described, path, compression="zstd")


def read_table(path: Path) -> SystemTable:
    """BenchError when the file is not one of ours."""
    try:
        # Text may come back as dictionaries or as plain strings: it is the same data.
        table = pq.read_table(path)
        info = WatchInfo.model_validate(json.loads(table.schema.metadata[WATCH_KEY]))
        table = table.select(SYSTEM_SCHEMA.names).cast(SYSTEM_SCHEMA.with_metadata(table.schema.metadata))
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=path.name)) from None
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{path.name}: not the record of a system under test: {error}") from None
    return SystemTable(info=info, rows=table)


def _state(lines: list[Line]) -> SourceState:
    reasons = Counter(line.failed for line in lines if line.failed)
    return SourceState(
        samples=sum(not line.failed for line in lines),
        failures=reasons.total(),
        reason=next(iter(reasons), "") if lines else "never asked",
    )
