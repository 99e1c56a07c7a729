"""What the samples say of the load generator itself (pure functions)."""

import numpy as np

from bench.results.columns import View
from bench.results.distributions import describe
from bench.results.summary import ClientFigures, ClientHealth, Metric
from bench.results.validity import Delays

SLOT_SLACK_NS = 1e6
"""What a timer and one turn of the loop may take."""


def client_figures(view: View, health: ClientHealth) -> ClientFigures:
    """What it used and suffered, held against the work done."""
    events = len(view.tokens.t)
    return ClientFigures(
        **health.model_dump(),
        cpu_us_per_token=health.cpu_s * 1e6 / events if events else None,
        events_per_read=events / _reads(view) if events else None,
        missed_slots=_missed_slots(view),
    )


def delays(view: View, ttft_ms: Metric) -> Delays:
    """How late requests left our hands, and what that is held against."""
    columns = view.columns
    late = (columns.dispatched - columns.due)[view.measured]
    return Delays(dispatch_ms=describe(late / 1e6), ttft_ms=ttft_ms, arrivals=len(late) if view.open_loop else 0)


def _reads(view: View) -> int:
    """Reads that brought content: events of one request with one stamp came in one."""
    row, t = view.tokens.row, view.tokens.t
    return 1 + int(((row[1:] != row[:-1]) | (t[1:] != t[:-1])).sum())


def _missed_slots(view: View) -> int:
    columns, measured = view.columns, view.measured
    if not view.open_loop or measured.sum() < 2:
        return 0
    intended = columns.intended[measured]
    gap_ns = (intended.max() - intended.min()) / (len(intended) - 1)
    return int(np.count_nonzero((columns.dispatched - columns.due)[measured] > gap_ns + SLOT_SLACK_NS))
