"""The system under test in words, for a terminal (logic)."""

from collections.abc import Iterator

from bench.system.models import Gauge, SystemView


def lines(system: SystemView) -> Iterator[str]:
    """The view in a few lines, for a terminal."""
    state = system.sources["engine"]
    if not state.samples:
        yield f"system: the server's metrics are unknown: {system.metrics_url}: {state.reason}"
    else:
        yield (
            f"system: running {_range(system.running)}, waiting {_range(system.waiting)}, preemptions {_or_dash(system.preemptions)}, "
            f"prefix-cache hits {_share(system.prefix_cache_hit_rate)} ({state.samples} samples of {system.metrics_url}, {state.failures} failed)"
        )
        pairs = (("ttft", system.ttft), ("itl", system.itl), ("e2e", system.e2e))
        told = ", ".join(
            f"{name} {pair.server_ms:.2f} / {pair.client_ms:.2f} ms" for name, pair in pairs if pair.server_ms is not None and pair.client_ms is not None
        )
        yield f"system: mean as the server / the client has it: {told or 'unknown: ' + (system.ttft.reason or 'no answers')}"
    for energy in system.energy:
        if energy.joules is not None and energy.mean_w is not None:
            per = "-" if energy.output_tokens_per_joule is None else f"{energy.output_tokens_per_joule:.3g}"
            figures = f"{energy.joules:.0f} J, {energy.mean_w:.0f} W, {per} output tokens/J"
            yield f"energy of {energy.devices} {energy.device}: {figures} ({energy.source}; {energy.tier})"
    if system.fault:
        yield f"system: {system.fault}"
    for each in system.alarms:
        yield f"alarm: {each}"


def _range(gauge: Gauge | None) -> str:
    return "-" if gauge is None or gauge.mean is None else f"{gauge.mean:.1f} (most {gauge.max:g})"


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
