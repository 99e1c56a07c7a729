"""Samples as Prometheus metrics, served over HTTP (edge)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stack.hardware_profiles.telemetry.metrics import METRICS
from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.telemetry.sampler import Sample
from stack.runtime.errors import StackproofError


class Telemetry(Collector):
    """What the sampler holds when it is scraped: nothing is read anew."""

    def __init__(self, samples: Callable[[], Sequence[Sample]]) -> None:
        self._samples = samples

    def collect(self) -> Iterable[Metric]:
        return families(self._samples())


def families(samples: Sequence[Sample]) -> list[Metric]:
    """In the order of `METRICS`, those without a reading left out."""
    made: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for sample in samples:
        for name, value, labels in (*_about(sample), *sample.readings):
            if name not in made:
                kind, label_names, meaning = METRICS[name]
                made[name] = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(name, meaning, labels=label_names)
            made[name].add_metric(labels, value)
    return [made[name] for name in METRICS if name in made]


def _about(sample: Sample) -> Iterator[Reading]:
    yield Reading("stackproof_source_up", float(not sample.reason), (sample.source,))
    if not sample.reason:
        yield Reading("stackproof_source_read_seconds", sample.took_s, (sample.source,))


@contextmanager
def serving(samples: Callable[[], Sequence[Sample]], *, address: str, port: int) -> Iterator[None]:
    """Metrics at `/metrics` while inside, with CPU time and memory of this process; StackproofError when the port cannot be bound."""
    registry = CollectorRegistry()
    registry.register(Telemetry(samples))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, addr=address, registry=registry)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StackproofError(f"--port {port} on --listen {address} cannot be bound ({reason.lower()}): choose another") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
