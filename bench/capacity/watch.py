"""Ends a probe that can no longer hold its level, so that no time is spent on a server past its limit."""

import time
from collections.abc import Callable

from bench.capacity.level import OUT_OF_TIME, SHARES, ServiceLevel
from bench.capacity.plan import ProbeSpec
from bench.capacity.saturation import Point, out_of_reach, saturated
from bench.load.progress import Progress

ASK_AGAIN = 1.25
"""Saturation is asked for each time the run has grown by a quarter: asking at every report would raise the share of false alarms."""

FIRST_ASKED_S = 10.0
RECENT = 20
PLACES = {"ttft": 0, "tpot": 1, "e2e": 2}


class Watch:
    """Asked 4 times a second; says why to end the run, or None.

    It goes by the latencies of the answers so far where they are reported, else by the time to the first byte: that is never more than the time
    to first token, so what it proves of the one holds for the other. Warm-up and failed requests may be among those and do not count: as
    many are taken off.
    """

    def __init__(self, spec: ProbeSpec, level: ServiceLevel | None, *, deadline_s: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._spec = spec
        self._level = level if spec.open_loop else None
        self._deadline_s = deadline_s
        self._clock = clock
        self._over = [0] * (0 if level is None else len(level.limits))
        self._ttft_limit_ms = max((limit.limit_ms for limit in level.limits if limit.metric == "ttft"), default=0.0) if level else 0.0
        self._points: list[Point] = []
        self._ask_at_s = FIRST_ASKED_S

    def __call__(self, progress: Progress) -> str | None:
        if self._deadline_s is not None and self._clock() > self._deadline_s:
            return OUT_OF_TIME
        if self._level is None:
            return None
        return self._failed(progress, self._level) or self._too_slow(progress, self._level) or self._saturated(progress)

    def _failed(self, progress: Progress, level: ServiceLevel) -> str | None:
        counted = progress.failed - self._spec.workload.warmup.requests
        if counted > level.error_rate * self._spec.measured:
            return f"the level is out of reach: {progress.failed} requests failed"
        return None

    def _too_slow(self, progress: Progress, level: ServiceLevel) -> str | None:
        for place, limit in enumerate(level.limits):
            self._over[place] += sum(latency_ms > limit.limit_ms for latency_ms in _latencies(progress, limit.metric))
            counted = self._over[place] - self._spec.workload.warmup.requests - progress.failed
            if out_of_reach(counted, planned=self._spec.measured, share=SHARES[limit.percentile]):
                return f"the level is out of reach: {self._over[place]} answers had a {limit.metric} of more than {limit.limit_ms:g} ms"
        return None

    def _saturated(self, progress: Progress) -> str | None:
        waits = _latencies(progress, "ttft")
        mean_ms = sum(waits) / len(waits) if waits else None
        self._points.append(Point(progress.elapsed_s, progress.in_flight, mean_ms))
        if progress.elapsed_s < self._ask_at_s:
            return None
        self._ask_at_s *= ASK_AGAIN
        recent = [point.ttft_ms for point in self._points[-RECENT:] if point.ttft_ms is not None]
        beyond = bool(recent) and sum(recent) / len(recent) > self._ttft_limit_ms
        return "over-saturated: requests in flight and time to first token grow" if beyond and saturated(self._points) else None


def _latencies(progress: Progress, metric: str) -> list[float]:
    """What the answers that ended since the last report say of a metric, in ms."""
    if progress.latencies:
        return [value for latencies in progress.latencies if (value := latencies[PLACES[metric]]) is not None]
    return list(progress.first_byte_ms) if metric == "ttft" else []
