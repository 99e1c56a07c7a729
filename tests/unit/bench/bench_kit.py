"""Hand-made runs: rows with round numbers, written and read as a real run's."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import REQUEST_SCHEMA, RUN_KEY, TOKEN_SCHEMA, Samples, read_samples
from bench.results.summary import ClientHealth, RunInfo, ToolInfo
from bench.workload import Workload

MS = 1_000_000
HEALTH = ClientHealth(cpu_s=0.1, cpu_share=0.1, loop_lag_ms_mean=0.1, loop_lag_ms_p99=0.5, start_s=0.2, peak_rss_mb=90)


def workload(**changes: Any) -> Workload:
    document: dict[str, Any] = {
        "name": "tiny",
        "model": "mock",
        "arrivals": {"kind": "poisson", "rate": 10},
        "prompts": {"kind": "text", "text": "hello", "max_tokens": 5},
        "stop": {"requests": 3},
    }
    return Workload.model_validate({**document, **changes})


def request(index: int, **changes: Any) -> dict[str, Any]:
    """An answer of 5 tokens in 5 chunks, 10 ms apart, the first 50 ms after it was sent and 52 ms after it was due.

    A role chunk came 40 ms before the first, a finish chunk 5 ms after the last.
    """
    start = index * 100
    row: dict[str, Any] = {
        "request": index,
        "phase": "measured",
        "status": "ok",
        "http_status": 200,
        "detail": "",
        "resent": False,
        "worker": 0,
        "session": None,
        "turn": None,
        "intended_ns": start * MS,
        "due_ns": start * MS,
        "dispatched_ns": start * MS,
        "sent_ns": (start + 2) * MS,
        "first_content_ns": (start + 52) * MS,
        "first_visible_ns": (start + 52) * MS,
        "last_content_ns": (start + 92) * MS,
        "closed_ns": (start + 102) * MS,
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "n_first": 1,
        "chunks": 5,
        "finish_reason": "length",
        "empty_choices_ns": [(start + 12) * MS, (start + 97) * MS],
        "text": None,
        "text_tokens": None,
    }
    assert changes.keys() <= row.keys()
    return {**row, **changes}


def tokens_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Its chunks, evenly spaced between the first and the last."""
    count = row["chunks"]
    if not count:
        return []
    gap = (row["last_content_ns"] - row["first_content_ns"]) // max(1, count - 1)
    return [
        {"request": row["request"], "t_ns": row["first_content_ns"] + place * gap, "kind": "text", "chars": 4, "running_tokens": None} for place in range(count)
    ]


def write(folder: Path, rows: list[dict[str, Any]], load: Workload | None = None, **run: Any) -> Samples:
    """Write the two files and read them back."""
    info = RunInfo(
        **{
            "workload": load or workload(),
            "seed": 7,
            "url": "http://127.0.0.1:1",
            "tool": ToolInfo(version="0"),
            "started_at": datetime(2026, 1, 1, tzinfo=UTC),
            "started_ns": 0,
            "state": "complete",
            "client": HEALTH,
            **run,
        }
    )
    schema = REQUEST_SCHEMA.with_metadata({RUN_KEY: info.model_dump_json().encode()})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / REQUESTS)
    pq.write_table(pa.Table.from_pylist([token for row in rows for token in tokens_of(row)], schema=TOKEN_SCHEMA), folder / TOKENS)
    return read_samples(folder / REQUESTS, folder / TOKENS)
