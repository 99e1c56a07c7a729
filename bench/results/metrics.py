"""From samples to the summary: every definition of docs/metrics.md, as a pure function of the two tables.

Stamps are whole nanoseconds below 2^53 and are subtracted exactly; sums are rounded once (`math.fsum`), so that another
machine works out the same figures to the last bit.
"""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.results.decode import OK
from bench.results.samples import Samples
from bench.results.summary import Certified, ClientFigures, Goodput, Metric, Metrics, MissingSamples, Rates, Requests, Summary, Window
from bench.results.validity import Delays, invalid_reasons
from bench.statistics.early_stopping import certification_floor, certified_percentile
from bench.statistics.percentiles import mean, percentile
from bench.workload.slo import Slo

CANCELLED = "cancelled"
ONE_TOKEN_A_CHUNK = 1.05
"""Up to so many tokens a chunk, gaps between chunks pass for gaps between tokens."""

CERTIFIED_SHARES = {"p90": 0.90, "p95": 0.95, "p99": 0.99}
FLOORS = {name: certification_floor(share) for name, share in CERTIFIED_SHARES.items()}
MIN_STEADY_SHARE = 0.5
"""A steady window shorter than this share of the run says less than the whole run."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def summarize(samples: Samples) -> Summary:
    """The published result of a run, worked out from its samples alone."""
    run = samples.run
    columns = _Columns(samples.requests)
    tokens = _Tokens(samples.tokens, columns)
    measured = columns.phase == "measured"
    ok = measured & (columns.status == OK)
    start = columns.intended if run.workload.open_loop else columns.sent
    per_chunk = _tokens_per_chunk(columns, ok)
    metrics = _metrics(columns, tokens, start=start, ok=ok, measured=measured, per_chunk=per_chunk)
    whole, window = _windows(columns, measured, open_loop=run.workload.open_loop)
    slo = run.workload.slo
    delays = Delays(
        dispatch_ms=describe((columns.dispatched - columns.intended)[measured] / 1e6),
        ttft_ms=metrics.ttft_ms,
    )
    requests = _requests(columns, measured)
    reasons = invalid_reasons(requests, run.client, delays, state=run.state)
    return Summary(
        state=run.state,
        valid=not reasons,
        invalid_reasons=tuple(reasons),
        notes=tuple(_notes(columns, ok, window)),
        requests=requests,
        rates=_rates(columns, tokens, window, open_loop=run.workload.open_loop),
        whole_run_rates=_rates(columns, tokens, whole, open_loop=run.workload.open_loop),
        window=window,
        metrics=metrics,
        tokens_per_chunk=per_chunk,
        goodput=None if slo is None else _goodput(slo, columns, start=start, ok=ok, measured=measured, window=window),
        client=ClientFigures(**run.client.model_dump(), cpu_us_per_token=run.client.cpu_s * 1e6 / len(tokens.t) if len(tokens.t) else None),
        workload=run.workload,
        seed=run.seed,
        url=run.url,
        started_at=run.started_at,
        tool=run.tool,
    )


def describe(values: Floats, *, certify: bool = True, note: str = "") -> Metric:
    """The distribution of some values; `certify` only where they can pass for independent."""
    ordered = np.sort(values).tolist()
    if not ordered:
        return Metric(missing_samples=MissingSamples(**FLOORS) if certify else MissingSamples(), note=note)
    return Metric(
        count=len(ordered),
        mean=mean(ordered),
        p50=percentile(ordered, 0.50),
        p90=percentile(ordered, 0.90),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        min=ordered[0],
        max=ordered[-1],
        certified=Certified(**{name: certified_percentile(ordered, share) for name, share in CERTIFIED_SHARES.items()}) if certify else Certified(),
        missing_samples=MissingSamples(**{name: max(0, floor - len(ordered)) for name, floor in FLOORS.items()}) if certify else MissingSamples(),
        note=note,
    )


class _Columns:
    """The request table as arrays; numbers as float64, null as NaN."""

    def __init__(self, table: pa.Table) -> None:
        def numbers(name: str) -> Floats:
            found: Floats = table[name].to_numpy().astype(np.float64)
            return found

        self.request: npt.NDArray[np.int64] = table["request"].to_numpy()
        self.phase, self.status = (np.array(table[name].to_pylist(), dtype=object) for name in ("phase", "status"))
        self.intended, self.dispatched, self.sent = numbers("intended_ns"), numbers("dispatched_ns"), numbers("sent_ns")
        self.first, self.visible, self.last, self.closed = (numbers(name) for name in ("first_content_ns", "first_visible_ns", "last_content_ns", "closed_ns"))
        self.prompt_tokens, self.output_tokens = numbers("prompt_tokens"), numbers("completion_tokens")
        self.n_first, self.chunks = numbers("n_first"), numbers("chunks")

    def tpot_ms(self) -> Floats:
        """(last_content - first_content) / (N - n_first); NaN, never 0, where nothing came after the first chunk."""
        after_first = self.output_tokens - self.n_first
        tpot: Floats = (self.last - self.first) / np.where(after_first > 0, after_first, np.nan) / 1e6
        return tpot


class _Tokens:
    """The token table as arrays, `row` the place of its request in the request table; the rows of one request follow one another."""

    def __init__(self, table: pa.Table, columns: _Columns) -> None:
        self.row = np.searchsorted(columns.request, table["request"].to_numpy())
        self.t: Floats = table["t_ns"].to_numpy().astype(np.float64)


def _metrics(columns: _Columns, tokens: _Tokens, *, start: Floats, ok: Bools, measured: Bools, per_chunk: float | None) -> Metrics:
    def of_requests(values_ns: Floats) -> Metric:
        return describe(_known(values_ns[ok]) / 1e6)

    same = (tokens.row[1:] == tokens.row[:-1]) & ok[tokens.row[1:]]
    gaps_ms = np.diff(tokens.t)[same] / 1e6
    dependent = "not certified: the gaps of one request depend on one another"
    gaps = describe(gaps_ms, certify=False, note=dependent)
    if per_chunk is None:
        itl = Metric(note="unknown: the server sent no usage block")
    elif per_chunk > ONE_TOKEN_A_CHUNK:
        itl = Metric(note=f"undefined: chunks carry {per_chunk:.2f} tokens, so their gaps are not gaps between tokens")
    else:
        itl = gaps
    return Metrics(
        ttft_ms=of_requests(columns.first - start),
        ttft_from_sent_ms=of_requests(columns.first - columns.sent),
        ttft_visible_ms=of_requests(columns.visible - start),
        tpot_ms=describe(_known(columns.tpot_ms()[ok])),
        chunk_gap_ms=gaps,
        itl_ms=itl,
        e2e_ms=of_requests(columns.last - start),
        e2e_closed_ms=of_requests(columns.closed - start),
        send_lag_ms=describe(_known((columns.sent - columns.intended)[measured]) / 1e6),
    )


def _known(values: Floats) -> Floats:
    known: Floats = values[~np.isnan(values)]
    return known


def _tokens_per_chunk(columns: _Columns, ok: Bools) -> float | None:
    counted = ok & ~np.isnan(columns.output_tokens) & (columns.chunks > 0)
    chunks = columns.chunks[counted].sum()
    return float(columns.output_tokens[counted].sum() / chunks) if chunks else None


def _requests(columns: _Columns, measured: Bools) -> Requests:
    classes = Counter(columns.status[measured].tolist())
    sent, ok, cancelled = classes.total(), classes.pop(OK, 0), classes.pop(CANCELLED, 0)
    return Requests(sent=sent, ok=ok, failed=classes.total(), cancelled=cancelled, warmup=int((~measured).sum()), by_class=dict(sorted(classes.items())))


def _windows(columns: _Columns, measured: Bools, *, open_loop: bool) -> tuple[Window | None, Window | None]:
    """The whole run, and the stretch of it in which the load was as the workload says (the whole where that is too short).

    Closed loop: until the first stream found nothing left to send. Open loop: from the first answer (or the end of the warm-up)
    to the last arrival.
    """
    if not measured.any():
        return None, None
    intended, closed = columns.intended[measured], columns.closed[measured]
    begin, end = float(intended.min()), float(closed.max())
    whole = Window(kind="whole_run", start_s=begin / 1e9, end_s=end / 1e9)
    if open_loop:
        warm = columns.intended[~measured]
        begin = max(float(warm.max()) if warm.size else 0.0, float(columns.closed.min()))
        end = float(intended.max())
    else:
        sent = _known(columns.sent[measured])
        last_sent = float(sent.max()) if sent.size else begin
        end = float(closed[closed > last_sent].min(initial=end))
    steady = Window(kind="steady", start_s=begin / 1e9, end_s=end / 1e9)
    long_enough = steady.end_s - steady.start_s >= MIN_STEADY_SHARE * (whole.end_s - whole.start_s)
    return whole, steady if long_enough else whole


@dataclass(frozen=True)
class _Span:
    """A window in nanoseconds."""

    start: float
    end: float

    @classmethod
    def of(cls, window: Window) -> "_Span":
        return cls(window.start_s * 1e9, window.end_s * 1e9)

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / 1e9

    def holds(self, at: Floats) -> Bools:
        """Start left out, end included; NaN is nowhere."""
        return (at > self.start) & (at <= self.end)

    def share_of(self, begin: Floats, end: Floats) -> Floats:
        """The part of each interval that lies inside."""
        inside = np.minimum(end, self.end) - np.maximum(begin, self.start)
        shares: Floats = np.clip(inside, 0.0, None) / (end - begin)
        return shares


def _rates(columns: _Columns, tokens: _Tokens, window: Window | None, *, open_loop: bool) -> Rates:
    """A request counts by the share of its time from sent to closed that lies in the window, a token by its stamp."""
    if window is None or window.end_s <= window.start_s:
        return Rates(requests_per_s=None, output_tokens_per_s=None, input_tokens_per_s=None, offered_requests_per_s=None)
    span = _Span.of(window)
    ok = columns.status == OK
    counted = ok & ~np.isnan(columns.output_tokens) & (columns.chunks > 0)
    per_chunk = np.zeros(len(columns.request))
    per_chunk[counted] = columns.output_tokens[counted] / columns.chunks[counted]
    chunks = np.bincount(tokens.row[span.holds(tokens.t)], minlength=len(per_chunk))
    output = math.fsum(chunks * per_chunk)
    prompts = _known(columns.prompt_tokens[ok & span.holds(columns.first)])
    offered = span.holds(columns.intended if open_loop else columns.sent)
    return Rates(
        requests_per_s=math.fsum(span.share_of(columns.sent[ok], columns.closed[ok])) / span.seconds,
        output_tokens_per_s=output / span.seconds if counted.any() or not ok.any() else None,
        input_tokens_per_s=float(prompts.sum()) / span.seconds if prompts.size or not ok.any() else None,
        offered_requests_per_s=int(offered.sum()) / span.seconds,
    )


def _goodput(slo: Slo, columns: _Columns, *, start: Floats, ok: Bools, measured: Bools, window: Window | None) -> Goodput:
    """Comparisons with NaN are false: a reply without content misses a TTFT limit. A reply of one chunk has no TPOT to miss."""
    good = ok.copy()
    if slo.ttft_ms is not None:
        good &= (columns.first - start) / 1e6 <= slo.ttft_ms
    if slo.tpot_ms is not None:
        tpot = columns.tpot_ms()
        good &= np.isnan(tpot) | (tpot <= slo.tpot_ms)
    judged = int((measured & (columns.status != CANCELLED)).sum())
    rate = None
    if window is not None and window.end_s > window.start_s:
        span = _Span.of(window)
        rate = math.fsum(span.share_of(columns.sent[good], columns.closed[good])) / span.seconds
    return Goodput(slo=slo, good=int(good.sum()), share=int(good.sum()) / judged if judged else None, requests_per_s=rate)


def _notes(columns: _Columns, ok: Bools, window: Window | None) -> list[str]:
    notes = []
    if without_usage := int((ok & np.isnan(columns.output_tokens)).sum()):
        notes.append(f"{without_usage} answers came without a usage block: their tokens are unknown and left out of tpot_ms and of token rates")
    if without_content := int((ok & np.isnan(columns.first)).sum()):
        notes.append(f"{without_content} answers came without any content: they have no ttft_ms")
    if window is not None and window.kind == "whole_run":
        notes.append("the run is too short for a steady window: rates are counted over the whole of it")
    return notes
