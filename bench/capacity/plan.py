"""Which workload a probe runs and how long that takes (logic)."""

import math
from dataclasses import dataclass
from typing import Any

from bench.capacity.level import ServiceLevel
from bench.capacity.models import Kind
from bench.errors import BenchError
from bench.workload import Workload
from bench.workload.arrivals import Concurrency, Constant, Gamma, Poisson
from bench.workload.models import Stop, Warmup

SHORT_REQUESTS = 64
"""Fewest requests of a short probe: what certifies p90."""

ESTIMATE_REQUESTS = 4


@dataclass(frozen=True)
class Sizes:
    """How long probes last: at least so many seconds, a closed-loop point at most so many."""

    search_s: float = 15.0
    confirm_s: float = 60.0
    closed_s: float = 60.0


@dataclass(frozen=True)
class ProbeSpec:
    """One run to make: arrivals per second in open loop, streams in closed loop."""

    kind: Kind
    load: float
    workload: Workload

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.kind}-{self.load:g}"

    @property
    def open_loop(self) -> bool:
        return self.kind in ("search", "confirm")

    @property
    def measured(self) -> int:
        return self.workload.stop.requests or 0

    @property
    def expected_s(self) -> float | None:
        """Time until the last request is sent; None in closed loop, where the server decides."""
        return (self.measured + self.workload.warmup.requests) / self.load if self.open_loop else None


def check_template(workload: Workload, *, closed: bool) -> None:
    """BenchError when its load cannot be varied as one number."""
    if not isinstance(workload.arrivals, Concurrency | Constant | Poisson | Gamma):
        raise BenchError(f"field `arrivals.kind`: {workload.arrivals.kind} has no single rate to search: use poisson, constant, gamma or concurrency")
    if workload.prompts.kind == "sessions" and not closed:
        raise BenchError("field `prompts.kind`: sessions send requests at a pace of their own: use --closed to vary the number of users")


def open_probe(template: Workload, level: ServiceLevel, rate: float, *, confirm: bool, sizes: Sizes) -> ProbeSpec:
    """A run at `rate`, with the template's kind of arrivals (Poisson for a closed-loop one).

    A short one has at least 64 requests and 15 s; a confirming one enough requests to certify the level and 60 s.
    """
    least = level.floor if confirm else SHORT_REQUESTS
    requests = max(least, math.ceil(rate * (sizes.confirm_s if confirm else sizes.search_s)))
    arrivals: dict[str, Any] = {"kind": "poisson", "rate": rate}
    if not isinstance(template.arrivals, Concurrency):
        arrivals = {**template.arrivals.model_dump(), "rate": rate}
    changed = _changed(template, arrivals, Stop(requests=requests), template.warmup, quality=confirm)
    return ProbeSpec("confirm" if confirm else "search", rate, changed)


def closed_probe(template: Workload, streams: int, *, sizes: Sizes) -> ProbeSpec:
    """`streams` users at once, eight requests each and at least 64, or as many as the time allows; each stream warms up with one."""
    stop = Stop(requests=max(SHORT_REQUESTS, 8 * streams), duration_s=sizes.closed_s)
    warmup = Warmup(requests=max(template.warmup.requests, streams))
    return ProbeSpec("closed", streams, _changed(template, {"kind": "concurrency", "streams": streams}, stop, warmup))


def estimate_probe(template: Workload) -> ProbeSpec:
    """One stream and a few requests: what the server gives a single user, as the place to begin."""
    stop, warmup = Stop(requests=ESTIMATE_REQUESTS, duration_s=30.0), Warmup(requests=1)
    return ProbeSpec("estimate", 1, _changed(template, {"kind": "concurrency", "streams": 1}, stop, warmup))


def confirm_words(template: Workload, level: ServiceLevel, rate: float, *, sizes: Sizes) -> str:
    """What certifying costs at `rate`, told before it is spent."""
    spec = open_probe(template, level, rate, confirm=True, sizes=sizes)
    words = f"confirming takes {spec.measured} requests, {_minutes(spec.expected_s or 0.0)} at {rate:g} requests/s"
    cheaper = "; a level of p90 takes 64 requests" if level.floor > SHORT_REQUESTS and spec.measured == level.floor else ""
    return words + cheaper


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _changed(template: Workload, arrivals: dict[str, Any], stop: Stop, warmup: Warmup, *, quality: bool = False) -> Workload:
    """The template with another load; its accuracy task is asked only where the result is to stand on the run."""
    changes: dict[str, Any] = {"arrivals": arrivals, "stop": stop.model_dump(), "warmup": warmup.model_dump()}
    return Workload.model_validate({**template.model_dump(), **changes} | ({} if quality else {"quality": None}))
