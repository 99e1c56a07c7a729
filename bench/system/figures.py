"""The figures of a `SystemView` that may be quoted (logic)."""

from collections.abc import Iterator
from typing import NamedTuple

from bench.system.models import Energy, Latency, SystemView


class SystemFigure(NamedTuple):
    """`value` None means unknown, and `note` says why."""

    name: str
    value: float | int | None
    unit: str
    note: str


def system_figures(system: SystemView) -> Iterator[SystemFigure]:
    """Named `system.<field>`; the same ones in every run, known or not."""
    unread = system.offered.reason
    for name, count in (
        ("requests", system.offered.server),
        ("preemptions", system.preemptions),
        ("prompt_tokens", system.prompt_tokens),
        ("generation_tokens", system.generation_tokens),
        ("prefix_cache_hit_rate", system.prefix_cache_hit_rate),
    ):
        yield SystemFigure(f"system.{name}", count, "", (unread or "the engine does not tell it") if count is None else "")
    for name, gauge in (("running", system.running), ("waiting", system.waiting)):
        for statistic in ("mean", "max"):
            value = None if gauge is None else getattr(gauge, statistic)
            yield SystemFigure(f"system.{name}.{statistic}", value, "", "no sample in the window" if value is None else "")
    for name, latency in (("ttft", system.ttft), ("itl", system.itl), ("e2e", system.e2e)):
        yield from _of_latency(f"system.{name}", latency)
    for energy in system.energy:
        yield from _of_energy(f"system.energy.{energy.device.replace(' ', '_')}", energy)


def _of_latency(prefix: str, latency: Latency) -> Iterator[SystemFigure]:
    yield SystemFigure(f"{prefix}.server_ms", latency.server_ms, "ms", latency.reason or latency.alarm)
    yield SystemFigure(f"{prefix}.client_ms", latency.client_ms, "ms", "no answers" if latency.client_ms is None else latency.alarm)


def _of_energy(prefix: str, energy: Energy) -> Iterator[SystemFigure]:
    told = "; ".join(filter(None, (energy.source, energy.tier, energy.reason)))
    for name, value, unit in (
        ("joules", energy.joules, "J"),
        ("mean_w", energy.mean_w, "W"),
        ("output_tokens_per_joule", energy.output_tokens_per_joule, "/J"),
    ):
        yield SystemFigure(f"{prefix}.{name}", value, unit, told)
