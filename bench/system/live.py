"""Prometheus metrics of a run while it lasts: `stackproof_bench_*` on loopback (edge)."""

import time
from collections.abc import Iterable
from threading import Lock

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bench.system.protocol import COUNTERS, GAUGES, ORDER
from bench.system.readings import Line
from stack.runtime.net import LOOPBACK


class LiveMetrics(Collector):
    """The last line of progress heard, and how the watch itself fares."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._values = dict.fromkeys(ORDER, 0.0)
        self._heard: float | None = None
        self._samples: dict[tuple[str, str], int] = {}

    def heard(self, line: bytes) -> None:
        """A line of `progress_line`; another one is passed over."""
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            return
        if len(values) == len(ORDER):
            with self._lock:
                self._values = dict(zip(ORDER, values, strict=True))
                self._heard = time.monotonic()

    def sampled(self, line: Line) -> None:
        key = (line.source, "failed" if line.failed else "read")
        with self._lock:
            self._samples[key] = self._samples.get(key, 0) + 1

    def serve(self, port: int) -> None:
        """On loopback, in a thread, until the process ends; OSError when the port is taken."""
        registry = CollectorRegistry()
        registry.register(self)
        start_http_server(port, addr=LOOPBACK, registry=registry)

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            values, heard, samples = dict(self._values), self._heard, dict(self._samples)
        for name, text in COUNTERS.items():
            yield CounterMetricFamily(f"stackproof_bench_{name}", text, value=values[name])
        for name, text in GAUGES.items():
            yield GaugeMetricFamily(f"stackproof_bench_{name}", text, value=values[name])
        if heard is not None:
            yield GaugeMetricFamily("stackproof_bench_progress_age_seconds", "Since the load generator last told of itself", value=time.monotonic() - heard)
        family = CounterMetricFamily("stackproof_bench_system_samples", "Samples of the system under test", labels=["source", "result"])
        for (source, result), count in sorted(samples.items()):
            family.add_metric([source, result], count)
        yield family
