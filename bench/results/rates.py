"""What was done per second, and over which stretch of the run that is counted (pure functions)."""

import math
from dataclasses import dataclass

import numpy as np

from bench.results.columns import Bools, Floats, Ints, View, known
from bench.results.decode import OK
from bench.results.steady import token_weights
from bench.results.summary import Goodput, Rates, Steady, Window
from bench.statistics.proportion import wilson_interval
from bench.workload.slo import Slo

MIN_STEADY_SHARE = 0.5
"""A steady window shorter than this share of the run says less than the whole run."""


def windows(view: View) -> tuple[Window | None, Window | None]:
    """The whole run, and the stretch of it in which the load was as the workload says (the whole where that is too short).

    Closed loop: from when all streams have started until the first one found nothing left to send. Open loop: from the first answer (or the end of the warm-up)
    to the last arrival.
    """
    columns, measured = view.columns, view.measured
    if not measured.any():
        return None, None
    intended, closed = columns.intended[measured], columns.closed[measured]
    begin, end = float(intended.min()), float(closed.max())
    whole = Window(kind="whole_run", start_s=begin / 1e9, end_s=end / 1e9)
    if view.open_loop:
        warm = columns.intended[~measured]
        begin = max(float(warm.max()) if warm.size else 0.0, float(columns.closed.min()))
        end = float(intended.max())
    else:
        sent = known(columns.sent[measured])
        last_sent = float(sent.max()) if sent.size else begin
        begin = max(begin, view.ramped_ns)
        end = float(closed[closed > last_sent].min(initial=end))
    steady = Window(kind="steady", start_s=begin / 1e9, end_s=end / 1e9)
    return whole, steady if _long_enough(steady, whole) else whole


def after_transient(window: Window | None, whole: Window | None, steady: Steady) -> Window | None:
    """The window without the transient that batch means found at its start, where enough of the run is left."""
    if window is None or whole is None or steady.from_s is None:
        return window
    cut = Window(kind="steady", start_s=max(window.start_s, steady.from_s), end_s=window.end_s)
    return cut if _long_enough(cut, whole) else window


def _long_enough(window: Window, whole: Window) -> bool:
    return window.end_s - window.start_s >= MIN_STEADY_SHARE * (whole.end_s - whole.start_s)


@dataclass(frozen=True)
class Span:
    """A window in nanoseconds."""

    start: float
    end: float

    @classmethod
    def of(cls, window: Window) -> "Span":
        return cls(window.start_s * 1e9, window.end_s * 1e9)

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / 1e9

    def holds(self, at: Floats | Ints) -> Bools:
        """Start left out, end included; NaN is nowhere."""
        return (at > self.start) & (at <= self.end)

    def share_of(self, begin: Floats, end: Floats) -> Floats:
        """The part of each interval that lies inside."""
        inside = np.minimum(end, self.end) - np.maximum(begin, self.start)
        shares: Floats = np.clip(inside, 0.0, None) / (end - begin)
        return shares


def rates(view: View, window: Window | None) -> Rates:
    """A request counts by the share of its time from sent to closed that lies in the window, a token by its stamp."""
    if window is None or window.end_s <= window.start_s:
        return Rates(requests_per_s=None, output_tokens_per_s=None, input_tokens_per_s=None, offered_requests_per_s=None)
    columns, tokens, span = view.columns, view.tokens, Span.of(window)
    ok, worth = columns.status == OK, token_weights(view)
    chunks = np.bincount(tokens.row[span.holds(tokens.t)], minlength=len(worth))
    output = math.fsum(chunks * worth)
    prompts = known(columns.prompt_tokens[ok & span.holds(columns.first)])
    offered = span.holds(columns.intended if view.open_loop else columns.sent)
    return Rates(
        requests_per_s=math.fsum(span.share_of(columns.sent[ok], columns.closed[ok])) / span.seconds,
        output_tokens_per_s=output / span.seconds if worth.any() or not ok.any() else None,
        input_tokens_per_s=float(prompts.sum()) / span.seconds if prompts.size or not ok.any() else None,
        offered_requests_per_s=int(offered.sum()) / span.seconds,
    )


def goodput(slo: Slo, view: View, window: Window | None) -> Goodput:
    """Comparisons with NaN are false: a reply without content misses a TTFT limit. A reply of one chunk has no TPOT to miss."""
    columns, good = view.columns, view.ok.copy()
    if slo.ttft_ms is not None:
        good &= (columns.first - view.start) / 1e6 <= slo.ttft_ms
    if slo.tpot_ms is not None:
        tpot = columns.tpot_ms()
        good &= np.isnan(tpot) | (tpot <= slo.tpot_ms)
    if slo.e2e_ms is not None:
        good &= (columns.last - view.start) / 1e6 <= slo.e2e_ms
    judged, met = int((view.ok | view.failed).sum()), int(good.sum())
    rate = None
    if window is not None and window.end_s > window.start_s:
        span = Span.of(window)
        rate = math.fsum(span.share_of(columns.sent[good], columns.closed[good])) / span.seconds
    return Goodput(slo=slo, good=met, share=met / judged if judged else None, interval_95=wilson_interval(met, judged), requests_per_s=rate)
