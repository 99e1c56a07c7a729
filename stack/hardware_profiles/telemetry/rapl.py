"""Energy counters of CPU packages, RAPL, in joules since a moment of their own (edge)."""

from pathlib import Path
from typing import NamedTuple

from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.tree import UnreadableError

POWERCAP = Path("/sys/class/powercap")


class Package(NamedTuple):
    """The counter as it stands; at `wraps_j` it starts again at 0."""

    name: str
    joules: float
    wraps_j: float


def read_packages(root: Path = POWERCAP) -> tuple[Package, ...]:
    """All packages that answer; UnreadableError when none does (since 2020 the kernel lets root alone read them)."""
    found, why = [], f"{root}: no RAPL package domain"
    for domain in sorted(root.glob("intel-rapl:*")):
        if domain.name.count(":") > 1:  # a part of a package, counted in it
            continue
        try:
            name = (domain / "name").read_text().strip()
            if not name.startswith("package"):
                continue
            wraps_j = int((domain / "max_energy_range_uj").read_text()) / 1e6
            found.append(Package(name, int((domain / "energy_uj").read_text()) / 1e6, wraps_j))
        except OSError as error:
            why = f"{domain / 'energy_uj'}: {error.strerror}"
        except ValueError:
            why = f"{domain}: not a number"
    if not found:
        raise UnreadableError(why)
    return tuple(found)


class RaplReader:
    """Counters that never go back: what wrapped is added. Asked less often than they wrap (minutes), they lose whole rounds."""

    def __init__(self, root: Path = POWERCAP) -> None:
        self._root = root
        self._last: dict[str, float] = {}
        self._added_j: dict[str, float] = {}

    def read(self) -> tuple[Reading, ...]:
        return tuple(Reading("stackproof_host_cpu_energy_joules_total", self._unwrapped(package), (package.name,)) for package in read_packages(self._root))

    def _unwrapped(self, package: Package) -> float:
        if package.joules < self._last.get(package.name, 0.0):
            self._added_j[package.name] = self._added_j.get(package.name, 0.0) + package.wraps_j
        self._last[package.name] = package.joules
        return package.joules + self._added_j.get(package.name, 0.0)
