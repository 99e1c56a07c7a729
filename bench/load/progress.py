"""What a run tells of itself while it lasts (models)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Counts since the start of the load, over all workers."""

    elapsed_s: float
    sent: int
    over: int
    failed: int
    in_flight: int
    bytes_read: int
    first_byte_ms: tuple[float, ...] = ()
    """Intended start to first byte, of the answers that ended since the last report."""
    latencies: tuple[tuple[float, float | None, float], ...] = ()
    """TTFT, TPOT (None where undefined) and E2E in ms of the measured answers since the last report; only where the workload stops by precision."""


NOTHING_YET = Progress(0.0, 0, 0, 0, 0, 0)


def add(one: Progress, other: Progress) -> Progress:
    """Of two workers together."""
    return Progress(
        elapsed_s=max(one.elapsed_s, other.elapsed_s),
        sent=one.sent + other.sent,
        over=one.over + other.over,
        failed=one.failed + other.failed,
        in_flight=one.in_flight + other.in_flight,
        bytes_read=one.bytes_read + other.bytes_read,
        first_byte_ms=one.first_byte_ms + other.first_byte_ms,
        latencies=one.latencies + other.latencies,
    )
