"""The raw truth of a run as two Parquet files: one row a request, one row a content event (edge).

`requests.parquet` carries the description of the run in its metadata, so that the two files alone are enough to work every
figure out again. Stamps are nanoseconds from the start of the run; a stamp that was never taken is null.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from bench.decode import OK, Answer, decode
from bench.errors import BenchError
from bench.spool import RawExchange, read_spool
from bench.summary import RunInfo
from stack.runtime.errors import describe_validation
from stack.runtime.files import atomic_path
from stack.runtime.progress import Step

REQUESTS = "requests.parquet"
TOKENS = "tokens.parquet"
RUN_KEY = b"stackproof.run"
TOKEN_ROWS_PER_GROUP = 100_000

REQUEST_SCHEMA = pa.schema(
    [
        pa.field("request", pa.int64(), nullable=False),
        pa.field("phase", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("http_status", pa.int32()),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("resent", pa.bool_(), nullable=False),
        pa.field("intended_ns", pa.int64(), nullable=False),
        pa.field("dispatched_ns", pa.int64(), nullable=False),
        pa.field("sent_ns", pa.int64()),
        pa.field("first_content_ns", pa.int64()),
        pa.field("first_visible_ns", pa.int64()),
        pa.field("last_content_ns", pa.int64()),
        pa.field("closed_ns", pa.int64(), nullable=False),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("n_first", pa.int64()),
        pa.field("chunks", pa.int64(), nullable=False),
        pa.field("finish_reason", pa.string()),
    ]
)
TOKEN_SCHEMA = pa.schema(
    [
        pa.field("request", pa.int64(), nullable=False),
        pa.field("t_ns", pa.int64(), nullable=False),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("chars", pa.int32(), nullable=False),
        pa.field("running_tokens", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Samples:
    """A run as it was measured."""

    run: RunInfo
    requests: pa.Table
    tokens: pa.Table


def write_samples(out: Path, spool: Path, run: RunInfo, step: Step) -> None:
    """Decode a spool into the two files; memory holds one row group of tokens, and one short row for each request."""
    rows: list[dict[str, Any]] = []
    with atomic_path(out / TOKENS) as temporary, pq.ParquetWriter(temporary, TOKEN_SCHEMA, compression="zstd") as writer:
        for batch in _token_batches(spool, run, rows, step):
            writer.write_table(pa.table(batch, schema=TOKEN_SCHEMA))
    rows.sort(key=lambda row: row["request"])
    schema = REQUEST_SCHEMA.with_metadata({RUN_KEY: run.model_dump_json().encode()})
    with atomic_path(out / REQUESTS) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")


def read_samples(requests: Path, tokens: Path) -> Samples:
    """Read the two files back; BenchError when they are not samples."""
    try:
        request_table, token_table = pq.read_table(requests), pq.read_table(tokens)
        run = RunInfo.model_validate(json.loads(request_table.schema.metadata[RUN_KEY]))
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=requests.name)) from None
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{requests.name}, {tokens.name}: not the samples of a run: {error}") from None
    for table, schema, path in ((request_table, REQUEST_SCHEMA, requests), (token_table, TOKEN_SCHEMA, tokens)):
        if not table.schema.equals(schema):
            raise BenchError(f"{path.name}: columns are not those of a run's samples")
    _check_keys(request_table["request"].to_numpy(), token_table["request"].to_numpy())
    return Samples(run=run, requests=request_table, tokens=token_table)


def _check_keys(requests: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64]) -> None:
    """Requests ascend without repeating, and each token belongs to one of them: what the metrics rely on."""
    if not len(requests) or (np.diff(requests) <= 0).any() or not np.isin(tokens, requests).all():
        raise BenchError(f"{REQUESTS}, {TOKENS}: rows do not belong together")


def _token_batches(spool: Path, run: RunInfo, rows: list[dict[str, Any]], step: Step) -> Iterator[dict[str, list[Any]]]:
    """Columns of token rows in groups; fills `rows` with the request rows on the way."""
    columns = _no_rows()
    for raw in read_spool(spool):
        answer = decode(raw)
        rows.append(_request_row(raw, answer, run))
        columns["request"] += [raw.index] * len(answer.deltas)
        columns["t_ns"] += [delta.t_ns - run.started_ns for delta in answer.deltas]
        columns["kind"] += [delta.kind for delta in answer.deltas]
        columns["chars"] += [delta.chars for delta in answer.deltas]
        columns["running_tokens"] += [delta.tokens for delta in answer.deltas]
        step.advance()
        if len(columns["t_ns"]) >= TOKEN_ROWS_PER_GROUP:
            yield columns
            columns = _no_rows()
    yield columns


def _no_rows() -> dict[str, list[Any]]:
    return {name: [] for name in TOKEN_SCHEMA.names}


def _request_row(raw: RawExchange, answer: Answer, run: RunInfo) -> dict[str, Any]:
    deltas = answer.deltas
    visible = next((delta for delta in deltas if delta.kind != "reasoning"), None)
    start = run.started_ns
    return {
        "request": raw.index,
        "phase": "warmup" if raw.index < run.workload.warmup.requests else "measured",
        "status": answer.status,
        "http_status": answer.http_status,
        "detail": answer.detail,
        "resent": raw.resent,
        "intended_ns": raw.intended_ns - start,
        "dispatched_ns": raw.dispatched_ns - start,
        "sent_ns": raw.sent_ns - start if raw.sent_ns else None,
        "first_content_ns": deltas[0].t_ns - start if deltas else None,
        "first_visible_ns": visible.t_ns - start if visible else None,
        "last_content_ns": deltas[-1].t_ns - start if deltas else None,
        "closed_ns": raw.closed_ns - start,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens if answer.status == OK else None,
        # The server's running count tells how many tokens the first chunk held; without it, one is assumed.
        "n_first": (deltas[0].tokens or 1) if deltas else None,
        "chunks": len(deltas),
        "finish_reason": answer.finish_reason,
    }
