"""Whether a run speaks of the server or of the load generator (pure function)."""

from dataclasses import dataclass

from bench.results.decode import CLIENT_LIMIT
from bench.results.summary import ClientFigures, Metric, Requests, State

SHARE = 0.05
"""The client's own delay may make up this much of a time to first token."""

MEAN_FLOOR_MS = 0.5
P99_FLOOR_MS = 10.0
"""Delays below these are told, not judged: an event loop on a machine with other work cannot promise less."""

CPU_SHARE = 0.9
"""One event loop has one core: close to all of it, answers wait for the client."""


BUSY_SHARE = 0.6
EVENTS_PER_READ = 1.5
"""A server may send several events together; only beside a busy core do they tell that the client was late."""

MISSED_SHARE = 0.05

ENDED = {
    "interrupted": "interrupted",
    "given_up": "given up, since none of the first requests was answered",
    "stopped": "stopped before its end",
    "disk_full": "the disk was full",
    "worker_lost": "a worker died",
}


@dataclass(frozen=True)
class Delays:
    """How late requests left our hands (connecting not counted), and what that is to be held against."""

    dispatch_ms: Metric
    ttft_ms: Metric
    arrivals: int
    """Measured ones that followed the clock."""


def invalid_reasons(requests: Requests, client: ClientFigures, delays: Delays, *, state: State, reason: str) -> list[str]:
    """One line for each reason why the figures must not be quoted; empty when they may."""
    reasons = []
    if state != "complete":
        why = ENDED[state] + (f" ({reason})" if reason else "")
        reasons.append(f"{why}: {requests.ok + requests.failed} measured requests were over, {requests.cancelled} were cancelled")
    if requests.ok == 0:
        reasons.append("no measured request succeeded")
    if limited := requests.by_class.get(CLIENT_LIMIT):
        reasons.append(f"client-bound: {limited} requests found no file or port left on the load generator's machine for a connection")
    return [*reasons, *_client_bound(client, delays)]


def _client_bound(client: ClientFigures, delays: Delays) -> list[str]:
    reasons = []
    if client.cpu_share > CPU_SHARE:
        reasons.append(f"client-bound: the load generator used {client.cpu_share:.0%} of a core (limit {CPU_SHARE:.0%})")
    elif client.cpu_share > BUSY_SHARE and (client.events_per_read or 0) > EVENTS_PER_READ:
        reasons.append(
            f"client-bound: {client.events_per_read:.2f} events waited for each read (limit {EVENTS_PER_READ}) while the load generator used "
            f"{client.cpu_share:.0%} of a core"
        )
    if delays.arrivals and client.missed_slots > MISSED_SHARE * delays.arrivals:
        reasons.append(f"client-bound: {client.missed_slots} of {delays.arrivals} arrivals missed their slot (limit {MISSED_SHARE:.0%})")
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
