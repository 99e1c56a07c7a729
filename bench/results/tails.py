"""Percentiles in which every failed request counts as infinitely slow (pure function)."""

import math

import numpy as np

from bench.results.columns import Floats, View, known
from bench.results.distributions import SHARES
from bench.results.summary import TailPercentiles, WithFailures
from bench.statistics.percentiles import percentile


def with_failures(view: View) -> WithFailures:
    """A server that drops its slowest requests must not look faster for it. JSON has no infinity: such a percentile is null."""
    columns = view.columns
    failed = int(view.failed.sum())
    judged = failed + int(view.ok.sum())
    share = failed / judged if judged else None
    note = f"{failed} of {judged} requests failed or were cut off ({share:.2%}): percentiles that reach them are infinite, and null here" if share else ""
    return WithFailures(
        failed_share=share,
        ttft_ms=_tail(columns.first - view.start, view, failed),
        tpot_ms=_tail(columns.tpot_ms() * 1e6, view, failed),
        e2e_ms=_tail(columns.last - view.start, view, failed),
        note=note,
    )


def _tail(values_ns: Floats, view: View, failed: int) -> TailPercentiles:
    ordered = np.sort(known(values_ns[view.ok]) / 1e6).tolist() + [math.inf] * failed
    if not ordered:
        return TailPercentiles()
    at = {name: percentile(ordered, share) for name, share in SHARES.items()}
    return TailPercentiles(count=len(ordered), **{name: value if math.isfinite(value) else None for name, value in at.items()})
