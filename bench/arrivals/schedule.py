"""When requests, or sessions, are to be sent, decided before the run (logic).

A schedule is a function of the workload and one seed alone: workers split it, and never draw it.
"""

import itertools
import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from bench.arrivals.rates import exact, rate_profile
from bench.arrivals.traces import read_trace
from bench.errors import BenchError
from bench.seeds import stream
from bench.workload.arrivals import Constant, Gamma, Open, Poisson, Trace
from bench.workload.models import Stop, Warmup

NS = 1_000_000_000
MOST_ARRIVALS = 20_000_000
"""8 bytes each: 160 MB."""


@dataclass(frozen=True)
class Schedule:
    """`at_ns` are the intended times from the start of the run, ascending; the first `warmup` of them are the warm-up."""

    at_ns: "array[int]"
    warmup: int


def plan_arrivals(arrivals: Open, *, warmup: Warmup, stop: Stop, seed: int) -> Schedule:
    """The arrivals of a whole run, at least one of them measured.

    The warm-up is the first `warmup.requests` arrivals and all others before `warmup.duration_s`; it has ended with the last of
    the former, or at the latter when that is later. `stop.requests` counts measured arrivals, `stop.duration_s` from the end of
    the warm-up. Steps and traces end by themselves as well. Times do not depend on `stop`: a later end appends arrivals and
    moves none. BenchError where nothing is left to measure, or where it would not fit into memory.
    """
    _refuse_too_many(arrivals, warmup, stop)
    at_ns = array("q")
    warm, warm_end_ns = 0, round(warmup.duration_s * NS)
    begin_ns, ended = warm_end_ns, True
    for time_ns in _times_ns(arrivals, seed):
        if len(at_ns) < warmup.requests or time_ns < warm_end_ns:
            warm += 1
            begin_ns = max(warm_end_ns, time_ns)
        elif _is_over(stop, measured=len(at_ns) - warm, passed_ns=time_ns - begin_ns):
            ended = False
            break
        if len(at_ns) == MOST_ARRIVALS:
            raise _too_many("more")
        at_ns.append(time_ns)
    if len(at_ns) == warm:
        raise _nothing_measured(warm, stop, ended=ended)
    return Schedule(at_ns, warm)


def _is_over(stop: Stop, *, measured: int, passed_ns: int) -> bool:
    return (stop.requests is not None and measured >= stop.requests) or (stop.duration_s is not None and passed_ns > stop.duration_s * NS)


def _times_ns(arrivals: Open, seed: int) -> Iterator[int]:
    """All that could come; the caller stops."""
    match arrivals:
        case Constant():
            return _constant_ns(arrivals.rate)
        case Poisson():
            return _renewals_ns(_exponential_gaps(stream(seed, "arrivals")), arrivals.rate)
        case Gamma():
            return _renewals_ns(_gamma_gaps(stream(seed, "arrivals"), arrivals.shape), arrivals.rate)
        case Trace():
            return (row.at_ns for row in read_trace(arrivals))
        case _:
            counts = itertools.count(1) if arrivals.spacing == "constant" else itertools.accumulate(_exponential_gaps(stream(seed, "arrivals")))
            return (round(at_s * NS) for at_s in rate_profile(arrivals).times(counts))


def _constant_ns(rate: float) -> Iterator[int]:
    """k / rate for k = 1, 2, ..., rounded to the next nanosecond once each: in whole numbers, so that no error adds up."""
    per_second = exact(rate)
    step, over = NS * per_second.denominator, per_second.numerator
    return ((2 * number * step + over) // (2 * over) for number in itertools.count(1))


def _renewals_ns(gaps: Iterable[float], rate: float) -> Iterator[int]:
    """Gaps of mean 1, one after another, at `rate`."""
    at_s = 0.0
    for gap in gaps:
        at_s += gap / rate
        yield round(at_s * NS)


def _exponential_gaps(draw: Random) -> Iterator[float]:
    while True:
        yield -math.log1p(-draw.random())


def _gamma_gaps(draw: Random, shape: float) -> Iterator[float]:
    """Mean 1, variance 1 / shape."""
    while True:
        yield draw.gammavariate(shape, 1 / shape)


def _refuse_too_many(arrivals: Open, warmup: Warmup, stop: Stop) -> None:
    """At once, by the mean: a plan of hours need not be drawn to be refused."""
    if isinstance(arrivals, Trace):
        return
    profile = rate_profile(arrivals)
    by_time = profile.total if stop.duration_s is None else profile.expected(warmup.duration_s + stop.duration_s)
    by_count = math.inf if stop.requests is None else max(warmup.requests, profile.expected(warmup.duration_s)) + stop.requests
    expected = min(by_time, by_count)
    if expected > MOST_ARRIVALS:
        raise _too_many(f"about {expected:.3g}")


def _too_many(count: str) -> BenchError:
    return BenchError(f"field `stop`: {count} arrivals, and {MOST_ARRIVALS} are the most that one run plans: stop earlier or lower the rate")


def _nothing_measured(warm: int, stop: Stop, *, ended: bool) -> BenchError:
    if warm and ended:
        return BenchError(f"field `warmup`: takes all {warm} arrivals and leaves none to measure: warm up with fewer")
    if ended:
        return BenchError("field `arrivals.steps`: no arrival falls into them: raise a rate or make a step longer")
    return BenchError(f"field `stop.duration_s`: no arrival falls into the {stop.duration_s:g} s that are measured: stop later or raise the rate")
