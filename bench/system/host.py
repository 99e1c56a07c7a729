"""What psutil, NVML and RAPL tell of the machine the load generator runs on (edge). Each fails alone, with a reason."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pynvml

from bench.system.readings import Reading, UnreadableError, labels_text

POWERCAP = Path("/sys/class/powercap")
NO_LABELS = labels_text({})


class HostReader:
    """CPU, memory and load of the whole host. The first reading has no CPU: it is a share of the time since the one before."""

    def __init__(self) -> None:
        self._primed = False

    def read(self) -> tuple[Reading, ...]:
        memory = psutil.virtual_memory()
        busy = psutil.cpu_percent(interval=None)
        found = [
            Reading("memory_used_bytes", NO_LABELS, float(memory.total - memory.available)),
            Reading("memory_total_bytes", NO_LABELS, float(memory.total)),
            Reading("load_average_1m", NO_LABELS, psutil.getloadavg()[0]),
        ]
        if self._primed:
            found.append(Reading("cpu_percent", NO_LABELS, busy))
        self._primed = True
        return tuple(found)


class AcceleratorReader:
    """All NVIDIA GPUs that the management library counts; a question a GPU does not answer costs that value alone."""

    def __init__(self) -> None:
        self._devices: list[tuple[str, Any]] | None = None

    def read(self) -> tuple[Reading, ...]:
        """UnreadableError when there is no library, no driver, no device, or none that answers anything."""
        if self._devices is None:
            self._devices = self._open()
        found: list[Reading] = []
        for labels, handle in self._devices:
            for metric, ask in _QUESTIONS.items():
                try:
                    found.append(Reading(metric, labels, float(ask(handle))))
                except pynvml.NVMLError:
                    continue
        if not found:
            raise UnreadableError("NVML: no GPU answers")
        return tuple(found)

    @staticmethod
    def _open() -> list[tuple[str, Any]]:
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            raise UnreadableError(f"NVML: {error}") from None
        if not count:
            raise UnreadableError("NVML: no GPU on this host")
        devices = []
        for index in range(count):
            with contextlib.suppress(pynvml.NVMLError):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                devices.append((labels_text({"gpu": str(index), "name": _name(handle)}), handle))
        return devices


def _name(handle: Any) -> str:
    """Empty for a GPU that fell off the bus."""
    try:
        name = pynvml.nvmlDeviceGetName(handle)
    except (pynvml.NVMLError, UnicodeDecodeError):
        return ""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


_QUESTIONS: dict[str, Callable[[Any], float]] = {
    "power_w": lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "energy_j_total": lambda gpu: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
    "utilization_percent": lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "memory_used_bytes": lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).used,
    "sm_clock_mhz": lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
    "memory_clock_mhz": lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
    "temperature_c": lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
}
"""NVML tells power in mW and energy since the driver was loaded in mJ."""


class CpuEnergyReader:
    """The energy counters of the CPU packages (RAPL), in joules since a moment of their own; `wraps_j` is where one starts again at 0."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self._root = root

    def read(self) -> tuple[Reading, ...]:
        found, why = [], f"{self._root}: no RAPL package domain"
        for domain in sorted(self._root.glob("intel-rapl:*")):
            if domain.name.count(":") > 1:  # a part of a package, counted in it
                continue
            try:
                name = (domain / "name").read_text().strip()
                if not name.startswith("package"):
                    continue
                wraps_j = int((domain / "max_energy_range_uj").read_text()) / 1e6
                found.append(Reading("energy_j_total", labels_text({"domain": name, "wraps_j": repr(wraps_j)}), int((domain / "energy_uj").read_text()) / 1e6))
            except OSError as error:
                why = f"{domain / 'energy_uj'}: {error.strerror}"
            except ValueError:
                why = f"{domain}: not a number"
        if not found:
            raise UnreadableError(why)
        return tuple(found)
