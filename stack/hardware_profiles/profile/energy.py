"""Energy counters of the hardware (edge): RAPL for the CPU, NVML for a GPU."""

from typing import Any, Protocol

import pynvml

from stack.hardware_profiles.accelerators.nvml.library import ask
from stack.hardware_profiles.telemetry.rapl import RaplReader
from stack.hardware_profiles.tree import Tree, UnreadableError


class Meter(Protocol):
    """`read` gives joules since a moment of its own; OSError or UnreadableError when the counter is gone."""

    @property
    def name(self) -> str: ...

    def read(self) -> float: ...


class Rapl:
    """All CPU packages together. Since 2020 only root may read it."""

    name = "rapl"

    def __init__(self, tree: Tree) -> None:
        self._reader = RaplReader(tree.path("sys/class/powercap"))

    def read(self) -> float:
        return sum(reading.value for reading in self._reader.read())


class Nvml:
    """The whole board, since the driver was loaded (Volta and later)."""

    name = "nvml"

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def read(self) -> float:
        return float(ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)) / 1e3  # millijoules


def answering(meter: Meter) -> Meter | None:
    """The meter, None when it does not answer."""
    try:
        meter.read()
    except (OSError, UnreadableError):
        return None
    return meter
