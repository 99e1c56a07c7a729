"""From samples to the summary: every definition of docs/metrics.md, as a pure function of the two tables.

Stamps are whole nanoseconds below 2^53 and are subtracted exactly; sums are rounded once (`math.fsum`), so that another
machine works out the same figures to the last bit.
"""

from collections import Counter

import numpy as np

from bench.quality import quality_notes, quality_reasons, quality_view
from bench.results.client import client_figures, delays
from bench.results.columns import CANCELLED, ONE_TOKEN_A_CHUNK, Floats, View, known
from bench.results.compat import compat
from bench.results.decode import OK
from bench.results.distributions import describe
from bench.results.rates import after_transient, goodput, rates, windows
from bench.results.samples import Samples
from bench.results.steady import steady_state
from bench.results.summary import Metric, Metrics, Requests, Steady, Summary, TokenCheck, Window
from bench.results.system import system_of, system_reasons
from bench.results.tails import with_failures
from bench.results.tokencheck import token_check
from bench.results.validity import invalid_reasons


def summarize(samples: Samples) -> Summary:
    """The published result of a run, worked out from its samples alone."""
    run = samples.run
    view = View.of(samples)
    columns = view.columns
    metrics = _metrics(view)
    whole, window = windows(view)
    steady = steady_state(view, window)
    window = after_transient(window, whole, steady)
    check = token_check(view)
    slo = run.workload.slo
    requests = _requests(view)
    windowed = rates(view, window)
    system = system_of(samples, window=window, rates=windowed, per_chunk=view.tokens_per_chunk())
    client = client_figures(view, run.client)
    reasons = [*invalid_reasons(requests, client, delays(view, metrics.ttft_ms), state=run.state, reason=run.reason), *system_reasons(run, system)]
    quality = quality_view(run.workload, samples.quality, known(columns.output_tokens[view.ok]).tolist())
    reasons += quality_reasons(quality)
    return Summary(
        state=run.state,
        valid=not reasons,
        invalid_reasons=tuple(reasons),
        notes=(*_notes(view, window, check, steady), *quality_notes(quality)),
        requests=requests,
        rates=windowed,
        whole_run_rates=rates(view, whole),
        window=window,
        metrics=metrics,
        tokens_per_chunk=view.tokens_per_chunk(),
        goodput=None if slo is None else goodput(slo, view, window),
        with_failures=with_failures(view),
        compat=compat(view, metrics.chunk_gap_ms),
        token_check=check,
        steady=steady,
        system=system,
        quality=quality,
        client=client,
        workload=run.workload,
        inputs=run.inputs,
        cache_reset=run.cache_reset,
        seed=run.seed,
        url=run.url,
        calibration=run.calibration,
        started_at=run.started_at,
        tool=run.tool,
    )


def _metrics(view: View) -> Metrics:
    columns, start = view.columns, view.start

    def of_requests(values_ns: Floats) -> Metric:
        return describe(known(values_ns[view.ok]) / 1e6)

    dependent = "not certified, no intervals: the gaps of one request depend on one another"
    gaps = describe(view.chunk_gaps_ms(), certify=False, note=dependent)
    per_chunk = view.tokens_per_chunk()
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
        tpot_ms=describe(known(columns.tpot_ms()[view.ok])),
        chunk_gap_ms=gaps,
        itl_ms=itl,
        e2e_ms=of_requests(columns.last - start),
        e2e_closed_ms=of_requests(columns.closed - start),
        send_lag_ms=describe(known((columns.sent - columns.intended)[view.measured]) / 1e6),
    )


def _requests(view: View) -> Requests:
    classes = Counter(view.columns.status[view.measured].tolist())
    sent, ok, cancelled = classes.total(), classes.pop(OK, 0), classes.pop(CANCELLED, 0)
    warmup = int((~view.measured).sum())
    return Requests(sent=sent, ok=ok, failed=classes.total(), cancelled=cancelled, warmup=warmup, by_class=dict(sorted(classes.items())))


def _notes(view: View, window: Window | None, check: TokenCheck, steady: Steady) -> list[str]:
    columns, ok = view.columns, view.ok
    notes = []
    if without_usage := int((ok & np.isnan(columns.output_tokens)).sum()):
        notes.append(f"{without_usage} answers came without a usage block: their tokens are unknown and left out of tpot_ms and of token rates")
    if without_content := int((ok & np.isnan(columns.first)).sum()):
        notes.append(f"{without_content} answers came without any content: they have no ttft_ms")
    if check.agrees is False:
        notes.append(check.note)
    if window is not None and window.kind == "whole_run":
        notes.append("the run is too short for a steady window: rates are counted over the whole of it")
    if steady.steady is False:
        notes.append(f"not steady: {steady.note}")
    elif window is not None and steady.from_s is not None and window.start_s < steady.from_s:
        notes.append(f"not steady before {steady.from_s:.1f} s, which leaves too little of the run to count rates over")
    return notes
