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


class Watch:
    """Asked 4 times a second; says why to end the run, or None.

    A time to first byte is never more than one to first token, so what it proves of the one holds for the other. Warm-up and failed
    requests are among those reported and do not count: as many are taken off.
    """

    def __init__(self, spec: ProbeSpec, level: ServiceLevel | None, *, deadline_s: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._spec = spec
        self._level = level
        self._deadline_s = deadline_s
        self._clock = clock
        self._limits_ms = {} if level is None else {limit.percentile: limit.limit_ms for limit in level.limits if limit.metric == "ttft"}
        self._over = dict.fromkeys(self._limits_ms, 0)
        self._points: list[Point] = []
        self._ask_at_s = FIRST_ASKED_S

    def __call__(self, progress: Progress) -> str | None:
        if self._deadline_s is not None and self._clock() > self._deadline_s:
            return OUT_OF_TIME
        if self._level is None or not self._spec.open_loop:
            return None
        return self._failed(progress, self._level.error_rate) or self._too_slow(progress) or self._saturated(progress)

    def _failed(self, progress: Progress, error_rate: float) -> str | None:
        counted = progress.failed - self._spec.workload.warmup.requests
        if counted > error_rate * self._spec.measured:
            return f"the level is out of reach: {progress.failed} requests failed"
        return None

    def _too_slow(self, progress: Progress) -> str | None:
        for percentile, limit_ms in self._limits_ms.items():
            self._over[percentile] += sum(latency_ms > limit_ms for latency_ms in progress.first_byte_ms)
            counted = self._over[percentile] - self._spec.workload.warmup.requests - progress.failed
            if out_of_reach(counted, planned=self._spec.measured, share=SHARES[percentile]):
                return f"the level is out of reach: {self._over[percentile]} answers began after more than {limit_ms:g} ms"
        return None

    def _saturated(self, progress: Progress) -> str | None:
        waits = progress.first_byte_ms
        mean_ms = sum(waits) / len(waits) if waits else None
        self._points.append(Point(progress.elapsed_s, progress.in_flight, mean_ms))
        if progress.elapsed_s < self._ask_at_s:
            return None
        self._ask_at_s *= ASK_AGAIN
        recent = [point.ttft_ms for point in self._points[-20:] if point.ttft_ms is not None]
        beyond = bool(recent) and all(sum(recent) / len(recent) > limit_ms for limit_ms in self._limits_ms.values())
        return "over-saturated: requests in flight and time to first byte grow" if beyond and saturated(self._points) else None
