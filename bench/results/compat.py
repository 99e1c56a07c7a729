"""The same run by the definitions of vLLM's bench, guidellm and AIPerf, so that old numbers can be compared (pure functions).

Formulas: vllm 0.32 `benchmarks/lib/endpoint_request_func.py` (chat) and `benchmarks/serve.py`; guidellm 0.8 `schemas/base/request_stats.py`
and `benchmark/schemas/metrics.py`; AIPerf 0.13 `metrics/types/`. What stays different: stamps are ours, taken once a read from the
socket, and N is the server's usage.
"""

import numpy as np

from bench.results.columns import Columns, Floats, Rows, View, gaps_ms, known
from bench.results.distributions import plain, weighted
from bench.results.summary import AiperfColumns, Compat, Distribution, GuidellmColumns, VllmColumns


def compat(view: View, gaps: Distribution) -> Compat:
    """All three, over the measured requests that succeeded; `gaps` is the distribution of our own chunk gaps."""
    return Compat(vllm=vllm(view), guidellm=guidellm(view), aiperf=aiperf(view, gaps))


def vllm(view: View) -> VllmColumns:
    """From the moment the request was taken up; any event with a choice counts as a token, a role-only and an empty one too."""
    columns, ok = view.columns, view.ok
    row, t = _choices(columns, view.tokens.row, view.tokens.t)
    first, last = _ends(len(ok), row, t)
    n_after = columns.output_tokens - 1
    tpot = (last - first) / np.where(n_after > 0, n_after, np.nan)
    return VllmColumns(
        ttft_ms=_of(first - columns.dispatched, view),
        tpot_ms=_of(tpot, view),
        itl_ms=plain(gaps_ms(row, t, ok)),
        e2el_ms=_of(last - columns.dispatched, view),
    )


def guidellm(view: View) -> GuidellmColumns:
    """From the first byte written to the end of the stream; a run's TPOT and ITL weigh each request by its tokens."""
    columns, ok = view.columns, view.ok
    tokens = np.where(np.isnan(columns.output_tokens), columns.chunks, columns.output_tokens)
    counted = ok & (tokens > 0) & ~np.isnan(columns.last)
    several = counted & (tokens > 1)
    tpot_ms = (columns.last - columns.sent)[counted] / tokens[counted] / 1e6
    itl_ms = (columns.last - columns.first)[several] / (tokens[several] - 1) / 1e6
    return GuidellmColumns(
        ttft_ms=_evenly(columns.first - columns.sent, view),
        tpot_ms=weighted(tpot_ms, tokens[counted]),
        itl_ms=weighted(itl_ms, tokens[several] - 1),
        request_latency_ms=_evenly(columns.closed - columns.sent, view),
    )


def aiperf(view: View, gaps: Distribution) -> AiperfColumns:
    """From the moment the request was taken up to its last content; what it calls ITL is one value a request."""
    columns = view.columns
    after_first = columns.output_tokens - columns.n_first
    divisor = np.where(after_first >= 1, after_first, columns.output_tokens - 1)
    itl = (columns.last - columns.first) / np.where(columns.output_tokens >= 2, divisor, np.nan)
    return AiperfColumns(
        ttft_ms=_of(columns.first - columns.dispatched, view),
        itl_ms=_of(itl, view),
        icl_ms=Distribution(**gaps.model_dump(include=set(Distribution.model_fields) - {"note"})),
        request_latency_ms=_of(columns.last - columns.dispatched, view),
    )


def _choices(columns: Columns, row: Rows, t: Floats) -> tuple[Rows, Floats]:
    """All events that had a choice, those of one request together and in the order of time."""
    rows, stamps = np.concatenate([row, columns.empty_row]), np.concatenate([t, columns.empty_t])
    order = np.lexsort((stamps, rows))
    return rows[order], stamps[order]


def _ends(count: int, row: Rows, t: Floats) -> tuple[Floats, Floats]:
    """First and last stamp of each row, NaN where it has none."""
    first, last = np.full(count, np.nan), np.full(count, np.nan)
    last[row] = t
    first[row[::-1]] = t[::-1]
    return first, last


def _of(values_ns: Floats, view: View) -> Distribution:
    return plain(known(values_ns[view.ok]) / 1e6)


def _evenly(values_ns: Floats, view: View) -> Distribution:
    values_ms = known(values_ns[view.ok]) / 1e6
    return weighted(values_ms, np.ones(len(values_ms)))
