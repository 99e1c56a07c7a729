"""When requests are to be sent, decided before the run (logic).

A schedule is a function of the workload and one seed alone: workers would split it, never draw it.
"""

import math
from array import array
from collections.abc import Iterator

from bench.seeds import stream
from bench.workload.arrivals import Poisson
from bench.workload.models import Stop


def poisson_schedule(arrivals: Poisson, *, warmup: int, stop: Stop, seed: int) -> "array[int]":
    """Intended times in ns from the start of the run; the first `warmup` of them are the warm-up.

    Arrival k lies at the sum of k + 1 exponential gaps of mean 1 / rate. `stop.duration_s` counts from the last
    warm-up arrival (from the start without one), and no gap is stretched to fit it.
    """
    schedule = array("q")
    begin_ns = 0
    for at_ns in _exponential_ns(arrivals.rate, seed):
        measured = len(schedule) - warmup
        if measured >= 0:
            if stop.requests is not None and measured >= stop.requests:
                break
            if stop.duration_s is not None and at_ns - begin_ns > stop.duration_s * 1e9:
                break
        else:
            begin_ns = at_ns
        schedule.append(at_ns)
    return schedule


def _exponential_ns(rate: float, seed: int) -> Iterator[int]:
    draw = stream(seed, "arrivals").random
    at_s = 0.0
    while True:
        at_s -= math.log1p(-draw()) / rate
        yield round(at_s * 1e9)
