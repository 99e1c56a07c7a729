"""The raw truth of a run as two Parquet files: one row a request, one row a content event (edge).

`requests.parquet` carries the description of the run in its metadata, so that the two files alone are enough to work every
figure out again. Stamps are nanoseconds from the start of the run; a stamp that was never taken is null.
"""

import json
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from bench.errors import BenchError
from bench.load.spool import RawExchange, SpoolFile, read_spool
from bench.quality.models import QualityAnswers
from bench.quality.store import read_quality
from bench.results.chat import KINDS
from bench.results.decode import OK, Answer, Delta, decode
from bench.results.files import QUALITY, REQUESTS, SYSTEM, TOKENS
from bench.results.keep import Counter, Keep
from bench.results.summary import RunInfo
from bench.system.table import SystemTable, read_table
from stack.runtime.errors import describe_validation
from stack.runtime.files import atomic_path
from stack.runtime.progress import Step

RUN_KEY = b"stackproof.run"
ROWS_PER_GROUP = 25_000
KIND_CODES = {kind: code for code, kind in enumerate(KINDS)}

REQUEST_SCHEMA = pa.schema(
    [
        pa.field("request", pa.int64(), nullable=False),
        pa.field("phase", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("http_status", pa.int32()),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("resent", pa.bool_(), nullable=False),
        pa.field("worker", pa.int32(), nullable=False),
        pa.field("session", pa.int64()),
        pa.field("turn", pa.int32()),
        pa.field("intended_ns", pa.int64(), nullable=False),
        pa.field("due_ns", pa.int64(), nullable=False),
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
        # Events with a choice but no content: what other tools take for tokens.
        pa.field("empty_choices_ns", pa.list_(pa.int64()), nullable=False),
        pa.field("text", pa.string()),
        pa.field("text_tokens", pa.int64()),
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
    """A run as it was measured; requests in the order in which they were sent."""

    run: RunInfo
    requests: pa.Table
    tokens: pa.Table
    system: SystemTable | None = None
    quality: QualityAnswers | None = None


def write_samples(out: Path, spools: Sequence[SpoolFile], run: RunInfo, step: Step, keep: Keep | None = None) -> None:
    """Decode the workers' spools into the two files, a row group at a time, in the order in which the requests of each ended."""
    described = REQUEST_SCHEMA.with_metadata({RUN_KEY: run.model_dump_json().encode()})
    with ExitStack() as stack:
        requests, tokens = (
            stack.enter_context(pq.ParquetWriter(stack.enter_context(atomic_path(out / name)), schema, compression="zstd"))
            for name, schema in ((REQUESTS, described), (TOKENS, TOKEN_SCHEMA))
        )
        for request_rows, token_columns in _groups(spools, run, keep or Keep()):
            requests.write_table(pa.Table.from_pylist(request_rows, schema=described))
            tokens.write_table(token_columns.table())
            step.advance(len(request_rows))


def read_samples(requests: Path, tokens: Path, system: Path | None = None, quality: Path | None = None) -> Samples:
    """Read the files back, with those of the system under test and of the quality task where there are any (default: beside `requests`).

    Of the tokens only what figures are made of is read: `request` and `t_ns`. BenchError when they are no samples.
    """
    return join_samples(
        read_requests(requests), read_tokens(tokens), system=system or requests.with_name(SYSTEM), quality=quality or requests.with_name(QUALITY)
    )


def read_requests(path: Path) -> pa.Table:
    """One row a request; BenchError when the file cannot be read or has other columns."""
    return _read(path, REQUEST_SCHEMA, None)


def read_tokens(path: Path) -> pa.Table:
    """`request` and `t_ns` of each content event; BenchError when the file cannot be read or has other columns."""
    return _read(path, TOKEN_SCHEMA, ["request", "t_ns"])


def _read(path: Path, schema: pa.Schema, columns: list[str] | None) -> pa.Table:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as source:
            found = source.schema_arrow
            if found.equals(schema):
                # One piece a column, so that numpy needs no copy of it; one column at a time, so that only one is there twice.
                read = [source.read(columns=[name], use_threads=False).combine_chunks().column(0) for name in columns or schema.names]
                return pa.Table.from_arrays(read, schema=pa.schema([schema.field(name) for name in columns or schema.names], metadata=found.metadata))
    except (OSError, pa.ArrowException) as error:
        raise BenchError(f"{path.name}: not the samples of a run: {error}") from None
    raise BenchError(f"{path.name}: not the samples of a run: it has the columns {', '.join(found.names)}, not {', '.join(schema.names)}")


def join_samples(request_table: pa.Table, token_table: pa.Table, *, system: Path, quality: Path) -> Samples:
    """A run from its tables; BenchError when they do not belong together."""
    try:
        run = RunInfo.model_validate(json.loads(request_table.schema.metadata[RUN_KEY]))
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=REQUESTS)) from None
    except (KeyError, TypeError, ValueError) as error:
        raise BenchError(f"{REQUESTS}: not the samples of a run: {error}") from None
    request_table = request_table.sort_by("request")
    _check_keys(request_table["request"].to_numpy(), token_table["request"].to_numpy())
    return Samples(run=run, requests=request_table, tokens=token_table, system=_system(system, run), quality=_quality(quality, run))


def _system(path: Path, run: RunInfo) -> SystemTable | None:
    if not path.exists():
        return None
    found = read_table(path)
    if found.info.started_ns != run.started_ns:
        raise BenchError(f"{path.name}: is of another run than {REQUESTS}")
    return found


def _quality(path: Path, run: RunInfo) -> QualityAnswers | None:
    found = read_quality(path)
    if found is not None and found.task.run_started_ns != run.started_ns:
        raise BenchError(f"{path.name}: is of another run than {REQUESTS}")
    return found


def _check_keys(requests: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64]) -> None:
    """No request comes twice, and each token belongs to one of them: what the metrics rely on."""
    if len(requests) and (np.diff(requests) > 0).all():
        places = np.minimum(np.searchsorted(requests, tokens), len(requests) - 1)
        if (requests[places] == tokens).all():
            return
    raise BenchError(f"{REQUESTS}, {TOKENS}: rows do not belong together")


def _groups(spools: Sequence[SpoolFile], run: RunInfo, keep: Keep) -> Iterator[tuple[list[dict[str, Any]], "_TokenColumns"]]:
    """Request rows and the columns of their tokens, in groups that memory can hold."""
    rows, columns = list[dict[str, Any]](), _TokenColumns()
    sessions, count = run.workload.prompts.kind == "sessions", keep.find_counter()
    for spool in spools:
        zero_ns = run.started_ns + spool.clock_offset_ns
        for raw in read_spool(spool.path):
            answer = decode(raw, keep_text=keep.text or count is not None)
            row = _request_row(raw, answer, zero_ns)
            row |= {"worker": spool.worker, "session": raw.unit if sessions else None, "turn": raw.turn if sessions else None}
            rows.append(row | _words(answer, keep_text=keep.text, count=count))
            columns.add(raw.index, answer.deltas, zero_ns)
            if len(rows) + len(columns) >= ROWS_PER_GROUP:
                yield rows, columns
                rows, columns = [], _TokenColumns()
    yield rows, columns


class _TokenColumns:
    """The rows of many answers as packed arrays: a list of Python numbers would take five times the memory."""

    def __init__(self) -> None:
        self._request, self._t_ns, self._chars, self._running = array("q"), array("q"), array("i"), array("q")
        self._kind = array("b")

    def __len__(self) -> int:
        return len(self._t_ns)

    def add(self, request: int, deltas: Sequence[Delta], zero_ns: int) -> None:
        if not deltas:
            return
        t_ns, kinds, chars, tokens = zip(*deltas, strict=True)
        self._request.extend([request] * len(deltas))
        self._t_ns.extend([each - zero_ns for each in t_ns])
        self._kind.extend([KIND_CODES[kind] for kind in kinds])
        self._chars.extend(chars)
        self._running.extend([-1 if count is None else count for count in tokens])

    def table(self) -> pa.Table:
        running = np.asarray(self._running)
        columns = [
            pa.array(np.asarray(self._request)),
            pa.array(np.asarray(self._t_ns)),
            pa.DictionaryArray.from_arrays(pa.array(np.asarray(self._kind)), pa.array(KINDS)),
            pa.array(np.asarray(self._chars)),
            pa.array(running, mask=running < 0),
        ]
        return pa.Table.from_arrays(columns, schema=TOKEN_SCHEMA)


def _request_row(raw: RawExchange, answer: Answer, start: int) -> dict[str, Any]:
    deltas = answer.deltas
    visible = next((delta for delta in deltas if delta.kind != "reasoning"), None)
    return {
        "request": raw.index,
        "phase": "warmup" if raw.warmup else "measured",
        "status": answer.status,
        "http_status": answer.http_status,
        "detail": answer.detail,
        "resent": raw.resent,
        "intended_ns": raw.intended_ns - start,
        "due_ns": raw.due_ns - start,
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
        "empty_choices_ns": [t_ns - start for t_ns in answer.empty_choices_ns],
    }


def _words(answer: Answer, *, keep_text: bool, count: Counter | None) -> dict[str, Any]:
    """`text` where it is kept; `text_tokens` of reasoning and text, null for tool calls, whose tokens are not the text we see."""
    tokens = None
    if count is not None and answer.status == OK and all(delta.kind != "tool_call" for delta in answer.deltas):
        tokens = sum(count(said) for said in (answer.reasoning, answer.text) if said)
    return {"text": answer.text if keep_text else None, "text_tokens": tokens}
