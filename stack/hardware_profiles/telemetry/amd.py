"""AMD GPUs at this moment, by `amdsmi` (edge). Its table of metrics tells most in one call: degrees Celsius, %, W, MHz.

Forms and units: amdsmi 7.0.2 (amdsmi_interface.py) and the comments of `amdsmi_gpu_metrics_t` in amdsmi.h. The library's own question
for throttling waits 100 ms for each GPU; the counters it compares are in the table too, so that two readings are compared here instead.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout, suppress
from typing import Any

from stack.hardware_profiles.accelerators.answers import number, part
from stack.hardware_profiles.telemetry.asking import Device, Inquiry, Question, any_answer, driver_loaded, optional_module, words
from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.tree import Tree, UnreadableError

MIB = 1 << 20
JOULES = 2.0**-16
"""A step of the energy counter, 15.259 uJ."""
WATTS = 1e-6
"""Power caps come in uW."""

TABLE: dict[str, tuple[tuple[str, ...], float]] = {
    "stackproof_gpu_utilization_ratio": (("average_gfx_activity",), 1e-2),
    "stackproof_gpu_memory_utilization_ratio": (("average_umc_activity",), 1e-2),
    "stackproof_gpu_power_watts": (("current_socket_power", "average_socket_power"), 1),
    "stackproof_gpu_energy_joules_total": (("energy_accumulator",), JOULES),
    "stackproof_gpu_temperature_celsius": (("temperature_hotspot", "temperature_edge"), 1),
    "stackproof_gpu_memory_temperature_celsius": (("temperature_mem",), 1),
    "stackproof_gpu_sm_clock_hertz": (("current_gfxclks", "current_gfxclk", "average_gfxclk_frequency"), 1e6),
    "stackproof_gpu_memory_clock_hertz": (("current_uclk", "average_uclk_frequency"), 1e6),
}
"""The first field that has a value, and what its unit is in ours: generations fill different ones. Of a list (a clock for each die) the mean."""

THROTTLE_REASONS = {
    "ppt_residency_acc": "power_cap",
    "socket_thm_residency_acc": "thermal_hardware",
    "hbm_thm_residency_acc": "thermal_memory",
    "vr_thm_residency_acc": "thermal_regulator",
    "prochot_residency_acc": "hardware_slowdown",
}
"""Counters of the time in which each held the clocks down: one that rose since the reading before is active."""


class AmdReader:
    """All GPUs that the library lists; when none answers any more it is let go and opened again at the next reading."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._amdsmi: Any = None
        self._inquiry: Inquiry | None = None
        self._devices: list[Device] = []

    def read(self) -> tuple[Reading, ...]:
        driver_loaded(self._tree, "amdgpu")
        if self._inquiry is None:
            self._open()
        found = [reading for device in self._devices for reading in (self._inquiry.readings(device) if self._inquiry else ())]
        if not any_answer(found):
            self.close()
            raise UnreadableError("amdsmi: no GPU answers")
        return tuple(found)

    def close(self) -> None:
        if self._amdsmi is not None:
            with suppress(Exception):
                self._amdsmi.amdsmi_shut_down()
        self._amdsmi, self._inquiry, self._devices = None, None, []

    def _open(self) -> None:
        amdsmi = optional_module("amdsmi", "amdsmi")
        try:
            with redirect_stdout(io.StringIO()):
                amdsmi.amdsmi_init()
            self._amdsmi = amdsmi
            handles = amdsmi.amdsmi_get_processor_handles()
        except Exception as error:  # its exceptions share no base of its own
            self.close()
            raise UnreadableError(f"amdsmi: {words(error)}") from None
        self._devices = [Device(self._described(index, handle), handle) for index, handle in enumerate(handles)]
        self._inquiry = Inquiry("amd", Questions(amdsmi).all())

    def _described(self, index: int, handle: Any) -> tuple[str, ...]:
        name, uuid = "", ""
        with suppress(Exception):
            name = str(part(self._amdsmi.amdsmi_get_gpu_asic_info(handle), "market_name") or "")
        with suppress(Exception):
            uuid = str(self._amdsmi.amdsmi_get_gpu_device_uuid(handle) or "")
        return str(index), name, uuid and self._tree.identifier(uuid)


class Questions:
    """Of one opened library; keeps each GPU's throttling counters for the next reading."""

    def __init__(self, amdsmi: Any) -> None:
        self._amdsmi = amdsmi
        self._before: dict[str, dict[str, float]] = {}

    def all(self) -> tuple[Question, ...]:
        return (
            ((*TABLE, "stackproof_gpu_throttle_active"), self._table),
            (("stackproof_gpu_memory_used_bytes", "stackproof_gpu_memory_total_bytes"), self._memory),
            (("stackproof_gpu_power_limit_watts",), self._limit),
            (("stackproof_gpu_ecc_errors_total",), self._errors),
        )

    def _table(self, device: Device) -> Iterator[Reading]:
        told = self._amdsmi.amdsmi_get_gpu_metrics_info(device.handle)
        for metric, (fields, unit) in TABLE.items():
            value = next((found for field in fields if (found := mean(told.get(field))) is not None), None)
            if value is not None:
                yield Reading(metric, value * unit, device.labels)
        before, now = self._before.get(device.labels[0], {}), residencies(told)
        for field in now.keys() & before.keys():
            yield Reading("stackproof_gpu_throttle_active", float(now[field] > before[field]), (*device.labels, THROTTLE_REASONS[field]))
        self._before[device.labels[0]] = now

    def _memory(self, device: Device) -> Iterator[Reading]:
        told = self._amdsmi.amdsmi_get_gpu_vram_usage(device.handle)
        yield Reading("stackproof_gpu_memory_used_bytes", told["vram_used"] * MIB, device.labels)
        yield Reading("stackproof_gpu_memory_total_bytes", told["vram_total"] * MIB, device.labels)

    def _limit(self, device: Device) -> Iterator[Reading]:
        if cap := number(part(self._amdsmi.amdsmi_get_power_cap_info(device.handle), "power_cap")):
            yield Reading("stackproof_gpu_power_limit_watts", cap * WATTS, device.labels)

    def _errors(self, device: Device) -> Iterator[Reading]:
        told = self._amdsmi.amdsmi_get_gpu_total_ecc_count(device.handle)
        for kind, field in (("corrected", "correctable_count"), ("uncorrected", "uncorrectable_count"), ("deferred", "deferred_count")):
            if (count := number(part(told, field))) is not None:
                yield Reading("stackproof_gpu_ecc_errors_total", count, (*device.labels, kind))


def mean(value: object) -> float | None:
    """Of those in a list that are known; the library writes N/A for the others."""
    known = [found for each in (value if isinstance(value, list) else [value]) if (found := number(each)) is not None]
    return sum(known) / len(known) if known else None


def residencies(told: Mapping[str, Any]) -> dict[str, float]:
    return {field: value for field in THROTTLE_REASONS if (value := number(told.get(field))) is not None}
