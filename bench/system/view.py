"""From system.parquet and the samples to the `SystemView` (logic)."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.system.energy import Asked, energy_of
from bench.system.models import Gauge, Latency, Offered, SystemView
from bench.system.series import Floats, Series, SeriesBook
from bench.system.table import SystemTable

COUNTERS = ("_total", "_sum", "_count", "_bucket")
"""How the metrics end that only grow; all others are gauges."""

_TOTALS = ("num_preemptions", "prompt_tokens", "generation_tokens", "prefix_cache_queries", "prefix_cache_hits")

AGREE_SHARE, AGREE_MS = 0.10, 5.0
"""Server and client may differ by the larger of these."""

OFFERED_SHARE, OFFERED_FEW = 0.01, 5
"""As may their counts of requests: an answer that was cut off is counted by one and not by the other."""

ONE_TOKEN_A_CHUNK = 1.05


def view(
    system: SystemTable, requests: pa.Table, *, model: str | None, window_s: tuple[float, float] | None, output_tokens: float | None, per_chunk: float | None
) -> SystemView:
    """`window_s` is the summary's window, `output_tokens` those that came in it, `per_chunk` the tokens of a chunk; null where unknown."""
    book, info = SeriesBook(system, model=model), system.info
    window_ns = None if window_s is None else (window_s[0] * 1e9, window_s[1] * 1e9)
    why_uncovered = _uncovered(book, requests, info.sources["engine"].reason)
    offered = _offered(book, requests, why_uncovered)
    latencies = _latencies(book, requests, per_chunk, why_uncovered)
    totals = {name: _whole(None if why_uncovered else book.grown(f"{name}_total")) for name in _TOTALS}
    queries, hits = totals["prefix_cache_queries"], totals["prefix_cache_hits"]
    prompt_tokens = _known(requests["prompt_tokens"].to_numpy().astype(np.float64))
    asked = Asked(window_ns, output_tokens, info.same_host)
    return SystemView(
        metrics_url=info.metrics_url,
        every_s=info.every_s,
        same_host=info.same_host,
        sources=info.sources,
        fault=info.fault,
        gauges=tuple(_gauge(each, window_ns) for each in book.all if not each.metric.endswith(COUNTERS)),
        running=_added(book, "num_requests_running", window_ns),
        waiting=_added(book, "num_requests_waiting", window_ns),
        preemptions=totals["num_preemptions"],
        prompt_tokens=totals["prompt_tokens"],
        generation_tokens=totals["generation_tokens"],
        prefix_cache_queries=queries,
        prefix_cache_hits=hits,
        prefix_cache_hit_rate=hits / queries if queries and hits is not None else None,
        prompt_tokens_mean=_sum(prompt_tokens) / len(prompt_tokens) if len(prompt_tokens) else None,
        **latencies,
        offered=offered,
        energy=energy_of(book, asked, {source: state.reason for source, state in info.sources.items()}),
        alarms=tuple(f"{name}: {latency.alarm}" for name, latency in latencies.items() if latency.alarm),
        invalid_reasons=(offered.reason,) if offered.server is not None and offered.reason else (),
    )


def _uncovered(book: SeriesBook, requests: pa.Table, engine_reason: str) -> str:
    """Why the engine's counters do not cover the run from its first request to its last answer; empty: they do."""
    if book.engine_span_ns is None:
        return f"the engine's metrics could not be read: {engine_reason}"
    first, last = pc.min(requests["sent_ns"]).as_py(), pc.max(requests["closed_ns"]).as_py()
    if first is None:
        return "no request was sent"
    if book.engine_span_ns[0] > first:
        return "the engine's metrics were first read after the first request"
    if book.engine_span_ns[1] < last:
        return "the engine's metrics were last read before the last answer"
    if any(each.grown(book.engine_span_ns[0]) is None for each in book.all if each.source == "engine" and each.metric.endswith(COUNTERS)):
        return "the engine's counters went back: it was started anew during the run"
    return ""


def _offered(book: SeriesBook, requests: pa.Table, why_uncovered: str) -> Offered:
    status = np.array(requests["status"].to_pylist(), dtype=object)
    http = requests["http_status"].to_numpy().astype(np.float64)
    arrived = requests["sent_ns"].is_valid().to_numpy() & (status != "refused") & (np.isnan(http) | (http == 200))
    sent = int(arrived.sum() + requests["resent"].to_numpy()[arrived].sum())
    answered = int((status == "ok").sum())
    server = None if why_uncovered else _whole(book.grown("request_success_total"))
    if server is None:
        return Offered(sent=sent, answered=answered, server=None, reason=why_uncovered or "the engine does not count its requests")
    few = max(OFFERED_FEW, OFFERED_SHARE * sent)
    reason = ""
    if server > sent + few:
        reason = f"the server answered {server} requests while {sent} were sent to it: it worked for others too, and its figures are of both"
    elif server < answered - few:
        reason = f"the server counted {server} requests of {answered} that were answered: others answered too (a cache, or further servers)"
    return Offered(sent=sent, answered=answered, server=server, reason=reason)


def _latencies(book: SeriesBook, requests: pa.Table, per_chunk: float | None, why_uncovered: str) -> dict[str, Latency]:
    ok = requests.filter(pc.and_(pc.equal(requests["status"], "ok"), pc.greater(requests["chunks"], 0)))
    sent, first, last = (ok[name].to_numpy().astype(np.float64) for name in ("sent_ns", "first_content_ns", "last_content_ns"))
    gaps = int(ok["chunks"].to_numpy().sum() - len(sent))
    many = None if per_chunk is None or per_chunk <= ONE_TOKEN_A_CHUNK else f"chunks carry {per_chunk:.2f} tokens, so their gaps are not gaps between tokens"
    unknown = "it is unknown how many tokens a chunk carries" if per_chunk is None else ""
    return {
        "ttft": _compare(book, "time_to_first_token_seconds", _sum(first - sent), len(sent), why_uncovered),
        "itl": _compare(book, "inter_token_latency_seconds", _sum(last - first), gaps, why_uncovered or many or unknown),
        "e2e": _compare(book, "e2e_request_latency_seconds", _sum(last - sent), len(sent), why_uncovered),
    }


def _compare(book: SeriesBook, histogram: str, client_ns: float, client_count: int, reason: str) -> Latency:
    client_ms = client_ns / client_count / 1e6 if client_count else None
    total_s, count = (None if reason else book.grown(f"{histogram}{part}") for part in ("_sum", "_count"))
    server_ms = total_s / count * 1e3 if total_s is not None and count else None
    if server_ms is None or client_ms is None:
        reason = reason or ("no request was answered" if client_ms is None else "the engine has no such histogram, or nothing came into it")
    return Latency(
        server_ms=server_ms,
        server_count=_whole(count),
        client_ms=client_ms,
        client_count=client_count,
        alarm="" if server_ms is None or client_ms is None else alarm(server_ms=server_ms, client_ms=client_ms),
        reason=reason,
    )


def alarm(*, server_ms: float, client_ms: float) -> str:
    """Whether two means of one latency disagree, and what that usually means."""
    difference_ms = client_ms - server_ms
    if abs(difference_ms) <= max(AGREE_SHARE * server_ms, AGREE_MS):
        return ""
    if difference_ms > 0:
        usual = "time is spent where the engine does not look: network, gateway, its HTTP server and tokenizer, or the load generator itself"
        return f"the client measured {difference_ms:.1f} ms more than the server's {server_ms:.1f} ms: {usual}"
    usual = "the engine also answered others, or these are not the metrics of the server that was measured"
    return f"the client measured {-difference_ms:.1f} ms less than the server's {server_ms:.1f} ms: {usual}"


def _gauge(series: Series, window_ns: tuple[float, float] | None) -> Gauge:
    inside = _inside(series, window_ns)
    low, mean, high = (float(inside.min()), _sum(inside) / len(inside), float(inside.max())) if len(inside) else (None, None, None)
    return Gauge(source=series.source, metric=series.metric, labels=series.labels, samples=len(inside), min=low, mean=mean, max=high)


def _inside(series: Series, window_ns: tuple[float, float] | None) -> Floats:
    if window_ns is None:
        return series.values[:0]
    found: Floats = series.values[(series.t_ns >= window_ns[0]) & (series.t_ns <= window_ns[1])]
    return found


def _added(book: SeriesBook, metric: str, window_ns: tuple[float, float] | None) -> Gauge | None:
    series = book.added(metric)
    return None if series is None else _gauge(series, window_ns)


def _known(values: Floats) -> Floats:
    found: Floats = values[~np.isnan(values)]
    return found


def _sum(values: Floats) -> float:
    """Rounded once, so that every machine has the same last bit."""
    return math.fsum(values.tolist())


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
