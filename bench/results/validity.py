"""Whether a run speaks of the server or of the load generator (pure function)."""

from dataclasses import dataclass

from bench.results.summary import ClientHealth, Metric, Requests, State

SHARE = 0.05
"""The client's own delay may make up this much of a time to first token."""

MEAN_FLOOR_MS = 0.5
P99_FLOOR_MS = 10.0
"""Delays below these are told, not judged: an event loop on a machine with other work cannot promise less."""

CPU_SHARE = 0.9
"""One event loop has one core: close to all of it, answers wait for the client."""


@dataclass(frozen=True)
class Delays:
    """How late requests left our hands (connecting not counted), and what that is to be held against."""

    dispatch_ms: Metric
    ttft_ms: Metric


def invalid_reasons(requests: Requests, client: ClientHealth, delays: Delays, *, state: State) -> list[str]:
    """One line for each reason why the figures must not be quoted; empty when they may."""
    reasons = []
    if state != "complete":
        why = "interrupted" if state == "interrupted" else "given up, since none of the first requests was answered"
        reasons.append(f"{why}: {requests.ok + requests.failed} measured requests were over, {requests.cancelled} were cancelled")
    if requests.ok == 0:
        reasons.append("no measured request succeeded")
    if client.cpu_share > CPU_SHARE:
        reasons.append(f"client-bound: the load generator used {client.cpu_share:.0%} of a core (limit {CPU_SHARE:.0%})")
    mean_limit_ms = max(MEAN_FLOOR_MS, SHARE * (delays.ttft_ms.mean or 0))
    p99_limit_ms = max(P99_FLOOR_MS, SHARE * (delays.ttft_ms.p99 or 0))
    for name, mean_ms, p99_ms in (
        ("event-loop lag", client.loop_lag_ms_mean, client.loop_lag_ms_p99),
        ("send lag", delays.dispatch_ms.mean, delays.dispatch_ms.p99),
    ):
        if mean_ms is not None and mean_ms > mean_limit_ms:
            reasons.append(f"client-bound: mean {name} {mean_ms:.2f} ms (limit {mean_limit_ms:.2f} ms)")
        elif p99_ms is not None and p99_ms > p99_limit_ms:
            reasons.append(f"client-bound: p99 {name} {p99_ms:.1f} ms (limit {p99_limit_ms:.1f} ms)")
    return reasons
