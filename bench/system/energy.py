"""Energy over the steady window (logic): from a device's counter, else from its power."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.system.models import Device, Energy
from bench.system.readings import Source
from bench.system.series import Floats, Series, SeriesBook

MOST_GAP_NS = 3e9
"""Power that was not sampled for longer is unknown in between (as InferenceX's aggregate_power has it)."""

CROSS_CHECK = 0.05
"""A counter and integrated power that differ by more are told."""


class EnergyUnknownError(Exception):
    """Why energy cannot be told from these series."""


def counter_joules(series: Series, begin_ns: float, end_ns: float) -> float:
    """What a counter in joules grew by between two moments, its value there taken linearly between the two nearest samples."""
    values = np.concatenate([[0.0], np.cumsum(_steps(series))])
    at_begin, at_end = (_at(series.t_ns, values, moment) for moment in (begin_ns, end_ns))
    return at_end - at_begin


def power_joules(series: Series, begin_ns: float, end_ns: float) -> float:
    """Trapezoids under power in watts, cut at the window's edges."""
    edges = [_at(series.t_ns, series.values, moment) for moment in (begin_ns, end_ns)]
    inside = (series.t_ns > begin_ns) & (series.t_ns < end_ns)
    t_ns = np.concatenate([[begin_ns], series.t_ns[inside], [end_ns]])
    if (np.diff(t_ns) > MOST_GAP_NS).any():
        raise EnergyUnknownError(f"power was not sampled for more than {MOST_GAP_NS / 1e9:g} s in the window")
    watts = np.concatenate([[edges[0]], series.values[inside], [edges[1]]])
    return math.fsum(((watts[1:] + watts[:-1]) / 2 * np.diff(t_ns) / 1e9).tolist())


def _steps(series: Series) -> Floats:
    """Growth from sample to sample; a counter that went back has wrapped once at `wraps_j`, where it has one."""
    steps = np.diff(series.values)
    back = steps < 0
    if back.any():
        wraps_j = float(series.labels.get("wraps_j", "nan"))
        if math.isnan(wraps_j) or (np.diff(series.t_ns)[back] > MOST_GAP_NS).any():
            raise EnergyUnknownError("the energy counter went back")
        steps[back] += wraps_j
    return steps


def _at(t_ns: Floats, values: Floats, moment_ns: float) -> float:
    after = int(np.searchsorted(t_ns, moment_ns))
    if after == 0 or after == len(t_ns):
        if after < len(t_ns) and t_ns[after] == moment_ns:
            return float(values[after])
        raise EnergyUnknownError("there are no samples on both sides of the window's edges")
    if t_ns[after] - t_ns[after - 1] > MOST_GAP_NS:
        raise EnergyUnknownError(f"no sample for more than {MOST_GAP_NS / 1e9:g} s at an edge of the window")
    share = (moment_ns - t_ns[after - 1]) / (t_ns[after] - t_ns[after - 1])
    return float(values[after - 1] + share * (values[after] - values[after - 1]))


@dataclass(frozen=True)
class Asked:
    """What energy is wanted for: the window, the output tokens that came in it, and whether the server is on this machine."""

    window_ns: tuple[float, float] | None
    tokens: float | None
    same_host: bool | None


def energy_of(book: SeriesBook, asked: Asked, reasons: Mapping[Source, str]) -> tuple[Energy, ...]:
    """One entry for accelerators, one for CPU packages; `reasons` says why a source could not be read at all."""
    gpu_counters, gpu_powers = book.of("accelerator", "energy_j_total"), book.of("accelerator", "power_w")
    packages = book.of("energy", "energy_j_total")
    return (
        _energy("accelerators", gpu_counters, gpu_powers, asked, reasons["accelerator"]),
        _energy("cpu packages", packages, [], asked, reasons["energy"]),
    )


def _energy(device: Device, counters: list[Series], powers: list[Series], asked: Asked, reason: str) -> Energy:
    if not counters and not powers:
        return _unknown(device, reason or "the source told neither energy nor power")
    if asked.same_host is not True:
        return _unknown(device, "the server is on another machine" if asked.same_host is False else "it is unknown whether the server is on this machine")
    if asked.window_ns is None or asked.window_ns[1] <= asked.window_ns[0]:
        return _unknown(device, "the run has no window")
    by_counter, why_no_counter = _total(counters, counter_joules, asked.window_ns, len(powers))
    by_power, why_no_power = _total(powers, power_joules, asked.window_ns, len(counters))
    joules = by_power if by_counter is None else by_counter
    if joules is None:
        return _unknown(device, why_no_counter if counters else why_no_power)
    cross_check = by_power / by_counter - 1 if by_counter and by_power is not None else None
    notes = []
    if cross_check is not None and abs(cross_check) > CROSS_CHECK:
        notes.append(f"power as sampled gives {cross_check:+.0%} of the counter (limit {CROSS_CHECK:.0%})")
    if device == "cpu packages":
        notes.append("with whatever else ran on these CPUs, the load generator too")
    return Energy(
        device=device,
        source="rapl package counter" if device == "cpu packages" else "nvml power, integrated" if by_counter is None else "nvml energy counter",
        devices=len(counters or powers),
        joules=joules,
        mean_w=joules / (asked.window_ns[1] - asked.window_ns[0]) * 1e9,
        output_tokens_per_joule=asked.tokens / joules if asked.tokens is not None and joules > 0 else None,
        cross_check=cross_check,
        reason="; ".join(notes),
    )


def _unknown(device: Device, reason: str) -> Energy:
    return Energy(device=device, source="", devices=0, joules=None, mean_w=None, output_tokens_per_joule=None, cross_check=None, reason=reason)


def _total(series: Sequence[Series], joules: Callable[[Series, float, float], float], window_ns: tuple[float, float], others: int) -> tuple[float | None, str]:
    """Over all devices, or why not: with one of them unknown the sum is. `others` devices tell the other quantity."""
    if len(series) < others:
        return None, "not every device tells it"
    try:
        return math.fsum(joules(each, *window_ns) for each in series) if series else None, ""
    except EnergyUnknownError as error:
        return None, str(error)
