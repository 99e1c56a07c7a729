"""Intel Gaudi at this moment, by `pyhlml` (edge). Power comes in mW, energy since the driver was loaded in mJ, clocks in MHz.

Forms and units: pyhlml 1.9.0 (main.py, hlml_types.py) and Intel's reference of its Python API. Two things it tells are left out because
they are not what our metrics mean: the default power limit (not the one in force) and PCIe throughput (a rate over a moment, no counter).
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from stack.hardware_profiles.telemetry.asking import Device, Inquiry, Question, any_answer, driver_loaded, optional_module, single, words
from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.tree import Tree, UnreadableError

SOC_CLOCK = 0
ON_CHIP = 0
VOLATILE = 0
ERRORS = {"corrected": 0, "uncorrected": 1}
"""Asked for one by one: the package's types say that corrected errors are not supported, its functions that only they are."""

THROTTLE_REASONS = {1: "power_cap", 2: "thermal_hardware"}


class GaudiReader:
    """All devices that the library counts; when none answers any more it is let go and opened again at the next reading."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._hlml: Any = None
        self._inquiry: Inquiry | None = None
        self._labels: list[tuple[str, ...]] = []

    def read(self) -> tuple[Reading, ...]:
        driver_loaded(self._tree, "habanalabs")
        if self._inquiry is None:
            self._open()
        found: list[Reading] = []
        for index, labels in enumerate(self._labels):
            found += self._inquiry.readings(Device(labels, self._handle(index))) if self._inquiry else ()
        if not any_answer(found):
            self.close()
            raise UnreadableError("pyhlml: no device answers")
        return tuple(found)

    def close(self) -> None:
        if self._hlml is not None:
            with suppress(Exception):
                self._hlml.hlmlShutdown()
        self._hlml, self._inquiry, self._labels = None, None, []

    def _open(self) -> None:
        hlml = optional_module("pyhlml.main", "pyhlml")
        try:
            hlml.hlmlInit()
            self._hlml = hlml
            count = hlml.hlmlDeviceGetCount()
        except Exception as error:  # its errors derive from Exception alone
            self.close()
            raise UnreadableError(f"pyhlml: {words(error)}") from None
        self._labels = [self._described(index) for index in range(count)]
        self._inquiry = Inquiry("gaudi", questions(hlml))

    def _handle(self, index: int) -> Any:
        """Asked for anew each time: the package keeps a single handle object, which the next question for one overwrites."""
        try:
            return self._hlml.hlmlDeviceGetHandleByIndex(index)
        except Exception:  # a device that was reset or fell off the bus
            return None

    def _described(self, index: int) -> tuple[str, ...]:
        def line(name: str) -> str:
            try:
                value = getattr(self._hlml, name)(handle)
            except Exception:  # each question fails alone
                return ""
            return value.decode(errors="replace").strip("\0 ") if isinstance(value, bytes) else str(value)

        handle = self._handle(index)
        uuid = line("hlmlDeviceGetUUID") if handle is not None else ""
        return str(index), line("hlmlDeviceGetName") if handle is not None else "", uuid and self._tree.identifier(uuid)


def questions(hlml: Any) -> tuple[Question, ...]:
    def by(name: str, *arguments: int) -> Callable[[Any], float]:
        """Looked up when it is asked: releases differ in what they have."""
        return lambda handle: float(getattr(hlml, name)(handle, *arguments))

    def memory(device: Device) -> Iterator[Reading]:
        told = hlml.hlmlDeviceGetMemoryInfo(device.handle)
        yield Reading("stackproof_gpu_memory_used_bytes", told.used, device.labels)
        yield Reading("stackproof_gpu_memory_total_bytes", told.total, device.labels)

    def throttle(device: Device) -> Iterator[Reading]:
        active = hlml.hlmlDeviceGetCurrentClocksThrottleReasons(device.handle)
        for bit, reason in THROTTLE_REASONS.items():
            yield Reading("stackproof_gpu_throttle_active", float(bool(active & bit)), (*device.labels, reason))

    def errors(kind: str) -> Callable[[Device], Iterator[Reading]]:
        def answer(device: Device) -> Iterator[Reading]:
            count = hlml.hlmlDeviceGetTotalECCErrors(device.handle, ERRORS[kind], VOLATILE)
            yield Reading("stackproof_gpu_ecc_errors_total", count, (*device.labels, kind))

        return answer

    return (
        single("stackproof_gpu_utilization_ratio", by("hlmlDeviceGetUtilizationRates"), 1e-2),
        (("stackproof_gpu_memory_used_bytes", "stackproof_gpu_memory_total_bytes"), memory),
        single("stackproof_gpu_power_watts", by("hlmlDeviceGetPowerUsage"), 1e-3),
        single("stackproof_gpu_energy_joules_total", by("hlmlDeviceGetTotalEnergyConsumption"), 1e-3),
        single("stackproof_gpu_temperature_celsius", by("hlmlDeviceGetTemperature", ON_CHIP)),
        single("stackproof_gpu_sm_clock_hertz", by("hlmlDeviceGetClockInfo", SOC_CLOCK), 1e6),
        (("stackproof_gpu_throttle_active",), throttle),
        *((("stackproof_gpu_ecc_errors_total",), errors(kind)) for kind in ERRORS),
    )
