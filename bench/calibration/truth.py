"""The reference server's log held against the client's samples."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bench.calibration.models import CalibrationPoint, Loop, Spread
from bench.errors import BenchError
from bench.results.decode import OK
from bench.results.metrics import summarize
from bench.results.samples import Samples
from bench.statistics.percentiles import mean, percentile

TRUTH = "truth.parquet"
TRUTH_SCHEMA = pa.schema(
    [
        pa.field("request", pa.int64(), nullable=False),
        pa.field("received_ns", pa.int64(), nullable=False),
        pa.field("emitted_ns", pa.list_(pa.field("item", pa.int64(), nullable=False)), nullable=False),
    ]
)

MEAN_MS, P99_MS, TTFT_SHARE, TPOT_SHARE, DELIVERED = 1.0, 5.0, 0.05, 0.01, 0.99
"""The load is resolved within these: mean and p99 error of TTFT, mean error as a share of the truth, error of TPOT, load delivered."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Setting:
    """What a point was to be, and how the reference server was set."""

    name: str
    loop: Loop
    load: float
    share: float | None
    ttft_ms: float
    token_interval_ms: float


def keep_truth(log: Path, out: Path) -> None:
    """The server's log (one JSON line an answer) as a table; the number that ends a request id is the client's row."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    rows = [
        {"request": int(line["request_id"].rpartition("-")[2]), "received_ns": line["received_ns"], "emitted_ns": line["emitted_ns"]}
        for line in lines
        if line["request_id"]
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA).sort_by("request"), out, compression="zstd")


def read_truth(path: Path) -> pa.Table:
    """BenchError when it is not a truth table."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BenchError(f"{path.name}: not the log of a reference server: {error}") from None
    if not table.schema.equals(TRUTH_SCHEMA):
        raise BenchError(f"{path.name}: columns are not those of a reference server's log")
    return table


def compare(samples: Samples, truth: pa.Table, setting: Setting) -> CalibrationPoint:
    """One point of the curve, from the two sides' tables alone; both clocks are the machine's monotonic one."""
    joined = _Joined(samples, truth, open_loop=setting.loop == "open")
    if not joined.count:
        raise BenchError(f"{setting.name}: not one measured request succeeded, so there is nothing to compare")
    summary = summarize(samples)
    error_ms = (joined.client_ttft - joined.server_ttft) / 1e6
    true_ms = mean((joined.server_ttft / 1e6).tolist())
    spread = _spread(error_ms)
    delivered = joined.delivered() if setting.loop == "open" else _closed_share(summary.rates.requests_per_s, joined, setting)
    tpot = _ratio(joined.tpot_p50())
    late = _spread(joined.late_ms(setting))
    point = CalibrationPoint(
        name=setting.name,
        loop=setting.loop,
        load=setting.load,
        share=setting.share,
        requests=joined.count,
        offered_requests_per_s=summary.rates.offered_requests_per_s,
        output_tokens_per_s=summary.rates.output_tokens_per_s,
        delivered_share=delivered,
        true_ttft_ms=true_ms,
        ttft_error_ms=spread,
        ttft_error_share=spread.mean / true_ms,
        send_ms=mean(((joined.sent - joined.start) / 1e6).tolist()),
        transit_ms=mean(((joined.received - joined.sent) / 1e6).tolist()),
        read_ms=mean(((joined.first - joined.first_emitted) / 1e6).tolist()),
        tpot_error_share=tpot,
        chunk_gap_p99_error_share=_ratio(joined.gap_p99()),
        server_late_ms=late,
        reference_late=late.p99 > P99_MS,
        cpu_share=summary.client.cpu_share,
        cpu_us_per_token=summary.client.cpu_us_per_token,
        loop_lag_ms_p99=summary.client.loop_lag_ms_p99,
        valid=summary.valid,
        invalid_reasons=summary.invalid_reasons,
        faults=(),
    )
    return point.model_copy(update={"faults": tuple(faults(point))})


def faults(point: CalibrationPoint) -> list[str]:
    """What keeps a load from being resolved."""
    error, found = point.ttft_error_ms, list[str]()
    if point.reference_late:
        late, transit = point.server_late_ms.p99, point.transit_ms
        return [f"the reference server was late itself ({late:.1f} ms at p99, took requests up after {transit:.1f} ms): no judgement at this load"]
    if abs(error.mean) > MEAN_MS:
        found.append(f"ttft off by {error.mean:+.2f} ms on average (limit {MEAN_MS:g} ms)")
    if abs(point.ttft_error_share) > TTFT_SHARE:
        found.append(f"ttft off by {point.ttft_error_share:+.1%} on average (limit {TTFT_SHARE:.0%})")
    if abs(error.p99) > P99_MS:
        found.append(f"ttft off by {error.p99:+.2f} ms at p99 (limit {P99_MS:g} ms)")
    if point.tpot_error_share is not None and abs(point.tpot_error_share) > TPOT_SHARE:
        found.append(f"tpot off by {point.tpot_error_share:+.1%} (limit {TPOT_SHARE:.0%})")
    if point.delivered_share is not None and point.delivered_share < DELIVERED:
        found.append(f"{point.delivered_share:.1%} of the load delivered (limit {DELIVERED:.0%})")
    return found + ([] if point.valid else ["the run called itself INVALID"])


class _Joined:
    """Measured successful requests that both sides know, in ns of the monotonic clock, as arrays of equal length."""

    def __init__(self, samples: Samples, truth: pa.Table, *, open_loop: bool) -> None:
        table, zero_ns = samples.requests, samples.run.started_ns
        measured = np.array([phase == "measured" for phase in table["phase"].to_pylist()])
        succeeded = np.array([status == OK for status in table["status"].to_pylist()])
        numbers = table["request"].to_numpy()
        known = truth["request"].to_numpy()
        kept = measured & succeeded & (table["chunks"].to_numpy() > 0) & np.isin(numbers, known)
        rows = np.searchsorted(known, numbers[kept])
        self.count = int(kept.sum())
        self.start: Ints = _whole(table["intended_ns" if open_loop else "sent_ns"], kept) + zero_ns
        self.sent: Ints = _whole(table["sent_ns"], kept) + zero_ns
        self.first: Ints = _whole(table["first_content_ns"], kept) + zero_ns
        self._last: Ints = _whole(table["last_content_ns"], kept) + zero_ns
        self._chunks: Ints = table["chunks"].to_numpy()[kept]
        self.received: Ints = truth["received_ns"].to_numpy()[rows]
        emitted = truth["emitted_ns"].combine_chunks()
        offsets, self._emitted = emitted.offsets.to_numpy(), emitted.values.to_numpy()
        self._begin, self._end = offsets[rows], offsets[rows + 1]
        self.first_emitted: Ints = self._emitted[self._begin] if self.count else np.zeros(0, np.int64)
        self._asked: Ints = table["intended_ns"].to_numpy()[measured]
        self._arrived: Ints = truth["received_ns"].to_numpy()[np.isin(known, numbers[measured])]
        tokens = np.isin(samples.tokens["request"].to_numpy(), numbers[kept])
        self._token_request: Ints = samples.tokens["request"].to_numpy()[tokens]
        self._token_ns: Ints = samples.tokens["t_ns"].to_numpy()[tokens]

    @property
    def client_ttft(self) -> Ints:
        return self.first - self.start

    @property
    def server_ttft(self) -> Ints:
        return self.first_emitted - self.received

    def delivered(self) -> float | None:
        """Requests per second that reached the server over those that were due: the share that came, over the time they took."""
        if len(self._asked) < 2 or len(self._arrived) < 2:
            return None
        asked, arrived = int(np.ptp(self._asked)), int(np.ptp(self._arrived))
        return len(self._arrived) / len(self._asked) * asked / arrived if arrived else None

    def tpot_p50(self) -> tuple[float, float] | None:
        """Medians of both sides over answers of several chunks, in ns."""
        several = (self._chunks > 1) & (self._end - self._begin > 1)
        if not several.any():
            return None
        client = ((self._last - self.first) / np.maximum(self._chunks - 1, 1))[several]
        server = ((self._emitted[self._end - 1] - self.first_emitted) / np.maximum(self._end - self._begin - 1, 1))[several]
        return _at(client, 0.5), _at(server, 0.5)

    def gap_p99(self) -> tuple[float, float] | None:
        """The 99th percentiles of both sides' gaps between chunks, in ns."""
        client = np.diff(self._token_ns)[np.diff(self._token_request) == 0]
        server = np.concatenate([np.diff(self._emitted[begin:end]) for begin, end in zip(self._begin, self._end, strict=True)])
        return (_at(client, 0.99), _at(server, 0.99)) if len(client) and len(server) else None

    def late_ms(self, setting: Setting) -> npt.NDArray[np.float64]:
        """How late the server wrote each chunk, by what it was set to."""
        sizes = self._end - self._begin
        place = np.concatenate([np.arange(size) for size in sizes])
        chosen = np.concatenate([self._emitted[begin:end] for begin, end in zip(self._begin, self._end, strict=True)])
        due_ms = setting.ttft_ms + place * setting.token_interval_ms
        late: npt.NDArray[np.float64] = (chosen - np.repeat(self.received, sizes)) / 1e6 - due_ms
        return late

    def service_s(self, setting: Setting) -> float:
        """Mean time an answer takes the server by its setting."""
        return (setting.ttft_ms + float((self._end - self._begin).mean() - 1) * setting.token_interval_ms) / 1e3


def _closed_share(requests_per_s: float | None, joined: _Joined, setting: Setting) -> float | None:
    """Streams that never pause make streams / service time requests a second."""
    return None if requests_per_s is None else requests_per_s * joined.service_s(setting) / setting.load


def _whole(column: pa.ChunkedArray, kept: npt.NDArray[np.bool_]) -> Ints:
    """The kept values; none of them is null."""
    values: Ints = column.filter(pa.array(kept)).to_numpy()
    return values.astype(np.int64)


def _spread(values: npt.NDArray[np.float64]) -> Spread:
    ordered = np.sort(values).tolist()
    return Spread(mean=mean(ordered), p50=percentile(ordered, 0.5), p99=percentile(ordered, 0.99))


def _at(values: npt.NDArray[np.float64] | Ints, share: float) -> float:
    return percentile(np.sort(values).tolist(), share)


def _ratio(both: tuple[float, float] | None) -> float | None:
    return both[0] / both[1] - 1 if both is not None and both[1] else None
