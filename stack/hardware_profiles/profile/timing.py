"""Timed repetitions, and the figures made of them."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stack.hardware_profiles.profile.models import SCALE, Unit

MOST_SAMPLES = 2000
"""Repetitions of one result: enough for a p99, few enough to keep with the evidence."""


class Clock(Protocol):
    """Seconds that one call takes on a device."""

    def __call__(self, call: Callable[[], object]) -> float: ...


def host_clock(call: Callable[[], object]) -> float:
    """By the host's monotonic clock; right for calls that return when their work is done."""
    started = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - started) / 1e9


class CudaClock:
    """By events on the device's current stream, so that neither launch nor a call that returns early counts."""

    def __init__(self, device: str) -> None:
        import torch

        self._cuda: Any = torch.cuda
        self._device = device

    def __call__(self, call: Callable[[], object]) -> float:
        with self._cuda.device(self._device):
            begin, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
            begin.record()
            call()
            end.record()
            end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3  # milliseconds


def repeat(call: Callable[[], object], *, clock: Clock, budget_s: float, least: int = 3, most: int = MOST_SAMPLES) -> list[float]:
    """Times of `least` to `most` calls, no new one after `budget_s`."""
    end = time.monotonic() + budget_s
    times: list[float] = []
    while len(times) < least or (len(times) < most and time.monotonic() < end):
        times.append(clock(call))
    return times


@dataclass(frozen=True)
class Figures:
    """In the result's unit; `best` is the highest rate or the lowest latency."""

    best: float
    median: float
    p10: float
    p90: float
    p99: float | None
    cv: float | None


def figures(samples_s: Sequence[float], *, unit: Unit, work: float | None) -> Figures:
    """Rates where there is work, else latencies; ValueError without samples or with a time that is not positive."""
    if not samples_s or min(samples_s) <= 0:
        raise ValueError("every repetition must take time")
    values = sorted(each / SCALE[unit] if work is None else work / each / SCALE[unit] for each in samples_s)
    mean = statistics.fmean(samples_s)
    return Figures(
        best=values[0] if work is None else values[-1],
        median=statistics.median(values),
        p10=quantile(values, 0.1),
        p90=quantile(values, 0.9),
        p99=quantile(values, 0.99) if work is None else None,
        cv=statistics.stdev(samples_s) / mean if len(samples_s) > 1 else None,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
