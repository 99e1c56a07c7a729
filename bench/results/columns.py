"""The two tables of samples as arrays (logic): what all definitions are worked out from.

Numbers of requests are float64, null is NaN; stamps of tokens are int64 and never null. All stamps are whole nanoseconds below 2^53, so
that their differences are exact in both.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bench.results.decode import OK
from bench.results.samples import Samples
from bench.workload.arrivals import Concurrency

CANCELLED = "cancelled"
ONE_TOKEN_A_CHUNK = 1.05
"""Up to so many tokens a chunk, gaps between chunks pass for gaps between tokens."""

BLOCK = 1 << 16
"""So many events are worked on at once where there may be millions."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]
"""Places in the request table; four bytes each, since there is one a token."""
Bools = npt.NDArray[np.bool_]


class Columns:
    """The request table, one place a request, in the order in which requests were sent."""

    def __init__(self, table: pa.Table) -> None:
        def numbers(name: str) -> Floats:
            found: Floats = table[name].to_numpy().astype(np.float64)
            return found

        self.request: Ints = table["request"].to_numpy()
        self.phase, self.status, self.finish_reason = (np.array(table[name].to_pylist(), dtype=object) for name in ("phase", "status", "finish_reason"))
        self.intended, self.due, self.dispatched, self.sent = (numbers(name) for name in ("intended_ns", "due_ns", "dispatched_ns", "sent_ns"))
        self.first, self.visible, self.last, self.closed = (numbers(name) for name in ("first_content_ns", "first_visible_ns", "last_content_ns", "closed_ns"))
        self.prompt_tokens, self.output_tokens, self.text_tokens = numbers("prompt_tokens"), numbers("completion_tokens"), numbers("text_tokens")
        self.n_first, self.chunks = numbers("n_first"), numbers("chunks")
        lists = table["empty_choices_ns"]
        # Events with a choice but no content: the place of their request, and their stamp.
        self.empty_row: Rows = pc.list_parent_indices(lists).to_numpy().astype(np.int32)
        self.empty_t: Ints = pc.list_flatten(lists).to_numpy()

    def tpot_ms(self) -> Floats:
        """(last_content - first_content) / (N - n_first); NaN, never 0, where nothing came after the first chunk."""
        after_first = self.output_tokens - self.n_first
        tpot: Floats = (self.last - self.first) / np.where(after_first > 0, after_first, np.nan) / 1e6
        return tpot


class Tokens:
    """The token table, `row` the place of its request in the request table; the rows of one request follow one another."""

    def __init__(self, table: pa.Table, columns: Columns) -> None:
        self.row: Rows = np.searchsorted(columns.request, table["request"].to_numpy()).astype(np.int32)
        self.t: Ints = table["t_ns"].to_numpy()


@dataclass(frozen=True)
class View:
    """A run ready for its definitions: latency counts from `start`, all streams run from `ramped_ns`, `ok` are the measured requests that succeeded.

    `failed` are those the server failed to answer: cancelled ones are none of them where the run itself was interrupted, but all are that
    a drain cut off, or a server would look faster for what it never finished.
    """

    columns: Columns
    tokens: Tokens
    open_loop: bool
    start: Floats
    ramped_ns: float
    measured: Bools
    ok: Bools
    failed: Bools

    @classmethod
    def of(cls, samples: Samples) -> "View":
        columns, open_loop, arrivals = Columns(samples.requests), samples.run.workload.open_loop, samples.run.workload.arrivals
        measured = columns.phase == "measured"
        ok = measured & (columns.status == OK)
        interrupted = (columns.status == CANCELLED) & (samples.run.state != "complete")
        return cls(
            columns=columns,
            tokens=Tokens(samples.tokens, columns),
            open_loop=open_loop,
            start=columns.intended if open_loop else columns.sent,
            ramped_ns=arrivals.spread_s * 1e9 if isinstance(arrivals, Concurrency) else 0.0,
            measured=measured,
            ok=ok,
            failed=measured & ~ok & ~interrupted,
        )

    def chunk_gaps_ms(self) -> Floats:
        """Time between successive content events of one successful request, all pooled."""
        return gaps_ms(self.tokens.row, self.tokens.t, self.ok)

    def tokens_per_chunk(self) -> float | None:
        """Sum of N over number of content events, of the successful requests whose N is known."""
        columns = self.columns
        counted = self.ok & ~np.isnan(columns.output_tokens) & (columns.chunks > 0)
        chunks = columns.chunks[counted].sum()
        return float(columns.output_tokens[counted].sum() / chunks) if chunks else None


def gaps_ms(row: Rows, t: Ints, ok: Bools) -> Floats:
    """Differences of successive stamps of the same row, where `ok` holds for it; rows of one request must follow one another."""
    gaps: Floats = np.empty(max(0, len(row) - 1))
    filled = 0
    for begin in range(0, len(gaps), BLOCK):  # all at once would take three times the memory of the gaps
        rows, stamps = row[begin : begin + BLOCK + 1], t[begin : begin + BLOCK + 1]
        found = np.diff(stamps)[(rows[1:] == rows[:-1]) & ok[rows[1:]]]
        gaps[filled : filled + len(found)] = found / 1e6
        filled += len(found)
    return gaps[:filled]


def known(values: Floats) -> Floats:
    """Without NaN, in the same order."""
    found: Floats = values[~np.isnan(values)]
    return found
