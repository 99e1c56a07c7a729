"""Energy counters of the hardware (edge): RAPL for the CPU, NVML for a GPU."""

from typing import Any

from stack.hardware_profiles.tree import Tree, UnreadableError

POWERCAP = "sys/class/powercap"


class Rapl:
    """All CPU packages together. Since 2020 only root may read it: finer readings leaked what a processor computes (CVE-2020-8694)."""

    name = "rapl"

    def __init__(self, tree: Tree, packages: list[str]) -> None:
        self._tree = tree
        self._packages = packages

    @classmethod
    def open(cls, tree: Tree) -> "Rapl | None":
        """None where there is no counter or it may not be read."""
        try:
            zones = [f"{POWERCAP}/{name}" for name in tree.names(POWERCAP) if name.count(":") == 1]
            packages = [zone for zone in zones if tree.line(f"{zone}/name").startswith("package")]
            meter = cls(tree, packages)
            return meter if packages and meter.read() else None
        except (OSError, UnreadableError):
            return None

    def read(self) -> tuple[int, ...]:
        """Microjoules of each package."""
        return tuple(self._tree.integer(f"{package}/energy_uj") for package in self._packages)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Counters wrap at max_energy_range_uj; more than one turn cannot be seen (a minute or more at full power)."""
        used = 0
        for package, low, high in zip(self._packages, before, after, strict=True):
            used += high - low if high >= low else high - low + self._tree.integer(f"{package}/max_energy_range_uj")
        return used / 1e6


class Nvml:
    """The whole board, in millijoules since the driver was loaded (Volta and later)."""

    name = "nvml"

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @classmethod
    def open(cls, handle: Any) -> "Nvml | None":
        import pynvml as nvml

        meter = cls(handle)
        try:
            meter.read()
        except nvml.NVMLError:
            return None
        return meter

    def read(self) -> tuple[int, ...]:
        import pynvml as nvml

        return (int(nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)),)

    def joules(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        return (after[0] - before[0]) / 1e3


Meter = Rapl | Nvml
