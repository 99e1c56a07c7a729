"""The same run by the definitions of vLLM's bench, guidellm and AIPerf, so that old numbers can be compared (pure functions).

Formulas: vllm 0.32 `benchmarks/lib/endpoint_request_func.py` (chat) and `benchmarks/serve.py`; guidellm 0.8 `schemas/base/request_stats.py`
and `benchmark/schemas/metrics.py`; AIPerf 0.13 `metrics/types/`. What stays different: stamps are ours, taken once a read from the
socket, and N is the server's usage.
"""

import numpy as np

from bench.results.columns import Columns, Floats, Ints, Rows, View, gaps_ms, known
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
    gaps = gaps_ms(row, t, ok)
    del row, t  # a million events take 12 MB, and sorting their gaps another 8
    return VllmColumns(
        ttft_ms=_of(first - columns.dispatched, view),
        tpot_ms=_of(tpot, view),
        itl_ms=plain(gaps),
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


def _choices(columns: Columns, row: Rows, t: Ints) -> tuple[Rows, Ints]:
    """All events that had a choice, those of one request together and in the order of time.

    The few without content are put in their places: sorting all of a million events would take as much memory again as all else does.
    """
    begins, ends = _spans(row)
    begin, end = np.full(len(columns.request), -1), np.full(len(columns.request), -1)
    begin[row[begins]], end[row[begins]] = begins, ends
    empty_row, empty_t = columns.empty_row, columns.empty_t
    among = begin[empty_row] >= 0  # events of an answer that had no content at all come after all others
    their_row, their_t = empty_row[among], empty_t[among]
    at = np.where(their_t < columns.first[their_row], begin[their_row], end[their_row])
    for place in np.flatnonzero((their_t >= columns.first[their_row]) & (their_t < columns.last[their_row])):
        low, high = begin[their_row[place]], end[their_row[place]]
        at[place] = low + np.searchsorted(t[low:high], their_t[place], side="right")
    rows, stamps = np.insert(row, at, their_row), np.insert(t, at, their_t)
    if among.all():
        return rows, stamps
    return np.concatenate([rows, empty_row[~among]]), np.concatenate([stamps, empty_t[~among]])


def _spans(row: Rows) -> tuple[Ints, Ints]:
    """Where the events of each request begin and end, in the order of the table."""
    begins = np.flatnonzero(np.diff(row, prepend=-1))
    return begins, np.append(begins[1:], len(row)) if len(row) else begins


def _ends(count: int, row: Rows, t: Ints) -> tuple[Floats, Floats]:
    """First and last stamp of each row, NaN where it has none."""
    first, last = np.full(count, np.nan), np.full(count, np.nan)
    begins, ends = _spans(row)
    first[row[begins]], last[row[begins]] = t[begins], t[ends - 1]
    return first, last


def _of(values_ns: Floats, view: View) -> Distribution:
    return plain(known(values_ns[view.ok]) / 1e6)


def _evenly(values_ns: Floats, view: View) -> Distribution:
    values_ms = known(values_ns[view.ok]) / 1e6
    return weighted(values_ms, np.ones(len(values_ms)))
