"""The raw truth of a run of users as one Parquet file, a row for each request, made from the master's spool (edge).

The file carries the description of the run in its metadata, so that it alone is enough to work every figure out again. Stamps are
nanoseconds from the start of the test on the master's clock; one that was never taken is null.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from bench.errors import BenchError
from bench.results.summary import State
from bench.statistics.percentiles import mean
from bench.users.job import Machine
from bench.users.summary import UsersRun, WorkerHealth
from stack.runtime.errors import describe_validation
from stack.runtime.files import atomic_path

USERS = "users.parquet"
RUN_KEY = b"stackproof.users"
ROWS_PER_GROUP = 50_000
STAMPS = ("intended_ns", "sent_ns", "first_content_ns", "first_visible_ns", "last_content_ns", "closed_ns")

_REQUIRED = {"test", "worker", "class", "user", "journey", "turn", "step", "request_id", "status", "detail", "resent", "intended_ns", "closed_ns", "chunks"}
_TYPES = {
    pa.int64(): ("test", "user", "journey", "turn", *STAMPS, "prompt_tokens", "completion_tokens", "n_first", "chunks"),
    pa.string(): ("worker", "class", "step", "request_id", "status", "detail", "finish_reason"),
    pa.int32(): ("http_status",),
    pa.bool_(): ("resent",),
}
SCHEMA = pa.schema([pa.field(name, kind, nullable=name not in _REQUIRED) for kind, names in _TYPES.items() for name in names])


@dataclass
class _Worker:
    """What one worker reported of itself."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_rss_mb: float = 0.0
    lags_ns: list[int] = field(default_factory=list)

    def health(self, name: str) -> WorkerHealth:
        lags_ms = [lag / 1e6 for lag in self.lags_ns]
        return WorkerHealth(
            worker=name,
            cpu_s=self.cpu_s,
            cpu_share=self.cpu_s / self.wall_s if self.wall_s else 0.0,
            loop_lag_ms_mean=mean(lags_ms) if lags_ms else None,
            loop_lag_ms_p99=float(np.percentile(lags_ms, 99)) if lags_ms else None,
            peak_rss_mb=self.peak_rss_mb,
        )


@dataclass
class Told:
    """What the spool says of the last test that was started."""

    tests: int
    started_ns: int
    started_at: datetime
    machine: Machine
    state: State = "interrupted"
    ended_ns: int = 0
    lost: list[str] = field(default_factory=list)
    workers: dict[str, _Worker] = field(default_factory=dict)

    @property
    def health(self) -> tuple[WorkerHealth, ...]:
        return tuple(self.workers[name].health(name) for name in sorted(self.workers))


@dataclass(frozen=True)
class Rows:
    """A run as it was measured: the requests of all tests, in the order in which they were sent."""

    run: UsersRun
    table: pa.Table


def read_messages(spool: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of the master's spool; a last one that was cut off is left out."""
    with spool.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


def gather(spool: Path) -> Told | None:
    """What the spool says beside the rows; None where no test was ever started."""
    told: Told | None = None
    for message in read_messages(spool):
        if message["kind"] == "start":
            started_at, machine = datetime.fromisoformat(message["started_at"]), Machine.model_validate(message["machine"])
            told = Told(tests=message["test"], started_ns=message["started_ns"], started_at=started_at, machine=machine, ended_ns=message["started_ns"])
        elif told is not None:
            _absorb(told, message)
    return told


def _absorb(told: Told, message: dict[str, Any]) -> None:
    match message["kind"]:
        case "report":
            worker = told.workers.setdefault(message["worker"], _Worker())
            worker.cpu_s, worker.wall_s, worker.peak_rss_mb = message["cpu_s"], message["wall_s"], message["peak_rss_mb"]
            worker.lags_ns += message["lags_ns"]
            shift = Machine.model_validate(message["machine"]).to(told.machine)
            if told.state == "interrupted":  # no end so far: the last thing seen is the end, should none come
                told.ended_ns = max([told.ended_ns, *(row["closed_ns"] + shift for row in message["rows"])])
        case "end":
            told.state, told.ended_ns = message["state"], message["ended_ns"]
        case "lost":
            told.lost.append(message["worker"])
        case "refused":
            told.lost.append(f"{message['worker']} (it runs another scenario)")


def write_rows(path: Path, spool: Path, run: UsersRun, told: Told) -> int:
    """Turn the spool's reports into the file, a row group at a time; how many rows of the last test there are."""
    described = SCHEMA.with_metadata({RUN_KEY: run.model_dump_json().encode()})
    starts = {message["test"]: message["started_ns"] for message in read_messages(spool) if message["kind"] == "start"}
    group: list[dict[str, Any]] = []
    count = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, described, compression="zstd") as out:
        for message in read_messages(spool):
            if message["kind"] != "report":
                continue
            shift = Machine.model_validate(message["machine"]).to(told.machine)
            group += [_row(row, message["worker"], shift - starts[row["test"]]) for row in message["rows"]]
            count += sum(row["test"] == told.tests for row in message["rows"])
            if len(group) >= ROWS_PER_GROUP:
                out.write_table(pa.Table.from_pylist(group, schema=described))
                group.clear()
        out.write_table(pa.Table.from_pylist(group, schema=described))
    return count


def _row(row: dict[str, Any], worker: str, shift_ns: int) -> dict[str, Any]:
    return {**row, "worker": worker, **{name: None if row[name] is None else row[name] + shift_ns for name in STAMPS}}


def read_rows(path: Path) -> Rows:
    """Read the file back; BenchError when it is not the rows of a run."""
    try:
        table = pq.read_table(path)
        run = UsersRun.model_validate(json.loads(table.schema.metadata[RUN_KEY]))
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=path.name)) from None
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{path.name}: not the rows of a run of users: {error}") from None
    if not table.schema.equals(SCHEMA):
        raise BenchError(f"{path.name}: columns are not those of a run of users")
    return Rows(run=run, table=table.sort_by([("test", "ascending"), ("intended_ns", "ascending"), ("request_id", "ascending")]))
