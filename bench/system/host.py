"""The live readings of `stack.hardware_profiles.telemetry` under the names and units of the samples file (edge). Each source fails alone, with a reason."""

from pathlib import Path

from bench.system.readings import Reading, UnreadableError, labels_text
from stack.hardware_profiles import telemetry
from stack.hardware_profiles.telemetry.host import HostReader as LiveHost
from stack.hardware_profiles.telemetry.nvml import NvmlReader
from stack.hardware_profiles.telemetry.rapl import POWERCAP, read_packages
from stack.hardware_profiles.tree import UnreadableError as Unreadable

NO_LABELS = labels_text({})

HOST = {
    "stackproof_host_memory_used_bytes": ("memory_used_bytes", 1.0),
    "stackproof_host_memory_total_bytes": ("memory_total_bytes", 1.0),
    "stackproof_host_cpu_busy_ratio": ("cpu_percent", 100.0),
}
GPU = {
    "stackproof_gpu_power_watts": ("power_w", 1.0),
    "stackproof_gpu_energy_joules_total": ("energy_j_total", 1.0),
    "stackproof_gpu_utilization_ratio": ("utilization_percent", 100.0),
    "stackproof_gpu_memory_used_bytes": ("memory_used_bytes", 1.0),
    "stackproof_gpu_sm_clock_hertz": ("sm_clock_mhz", 1e-6),
    "stackproof_gpu_memory_clock_hertz": ("memory_clock_mhz", 1e-6),
    "stackproof_gpu_temperature_celsius": ("temperature_c", 1.0),
}
"""The metric's name here, and what its unit is in ours."""


class HostReader:
    """CPU, memory and load of the whole host. The first reading has no CPU: it is a share of the time since the one before."""

    def __init__(self) -> None:
        self._live = LiveHost()

    def read(self) -> tuple[Reading, ...]:
        found = self._live.read()
        load = [Reading("load_average_1m", NO_LABELS, each.value) for each in found if each.metric == "stackproof_host_load_average" and each.labels == ("1m",)]
        return (*load, *(Reading(HOST[each.metric][0], NO_LABELS, each.value * HOST[each.metric][1]) for each in found if each.metric in HOST))


class AcceleratorReader:
    """All NVIDIA GPUs that the management library counts; a question a GPU does not answer costs that value alone."""

    def __init__(self) -> None:
        self._live = NvmlReader(wanted=GPU)

    def read(self) -> tuple[Reading, ...]:
        """UnreadableError when there is no library, no driver, no device, or none that answers anything."""
        try:
            found = self._live.read()
        except Unreadable as error:
            raise UnreadableError(str(error)) from None
        return tuple(_of_gpu(each) for each in found)


def _of_gpu(live: telemetry.Reading) -> Reading:
    name, unit = GPU[live.metric]
    index, model, _ = live.labels
    # A clock of 1,755 MHz told in hertz comes back with a rounding error.
    return Reading(name, labels_text({"gpu": index, "name": model}), round(live.value * unit, 6))


class CpuEnergyReader:
    """The energy counters of the CPU packages (RAPL), in joules since a moment of their own; `wraps_j` is where one starts again at 0."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self._root = root

    def read(self) -> tuple[Reading, ...]:
        try:
            packages = read_packages(self._root)
        except Unreadable as error:
            raise UnreadableError(str(error)) from None
        return tuple(Reading("energy_j_total", labels_text({"domain": package.name, "wraps_j": repr(package.wraps_j)}), package.joules) for package in packages)
