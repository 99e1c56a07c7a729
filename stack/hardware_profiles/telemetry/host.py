"""CPU, memory, load, disks, network and temperatures of the host (edge). In a container, the network is the container's own."""

from pathlib import Path

import psutil

from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.tree import Tree, UnreadableError, as_integer, explain

SECTOR_BYTES = 512
"""Of /proc/diskstats, whatever the disk's own sectors are (kernel, Documentation/admin-guide/iostats.rst)."""

WINDOWS = ("1m", "5m", "15m")


class HostReader:
    """The whole host by psutil. The first reading has no busy ratio: it is a share of the time since the one before."""

    def __init__(self) -> None:
        self._primed = False

    def read(self) -> tuple[Reading, ...]:
        memory, swap, times = psutil.virtual_memory(), psutil.swap_memory(), psutil.cpu_times()
        busy = psutil.cpu_percent(interval=None)
        found = [
            Reading("stackproof_host_memory_used_bytes", memory.total - memory.available),
            Reading("stackproof_host_memory_total_bytes", memory.total),
            Reading("stackproof_host_swap_used_bytes", swap.used),
            Reading("stackproof_host_swap_total_bytes", swap.total),
            *(Reading("stackproof_host_load_average", load, (window,)) for window, load in zip(WINDOWS, psutil.getloadavg(), strict=True)),
            *(Reading("stackproof_host_cpu_seconds_total", seconds, (mode,)) for mode, seconds in times._asdict().items()),
        ]
        if self._primed:
            found.append(Reading("stackproof_host_cpu_busy_ratio", busy / 100))
        self._primed = True
        return tuple(found)


class DiskReader:
    """Whole disks with hardware behind them: partitions, loops and mapped devices would count the same bytes again."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._tree = Tree(root)

    def read(self) -> tuple[Reading, ...]:
        found: list[Reading] = []
        for line in _text(self._tree, "proc/diskstats").splitlines():
            fields = line.split()
            if len(fields) < 13 or not self._tree.exists(f"sys/block/{fields[2]}/device"):
                continue
            device = (fields[2],)
            read, written, busy_ms = (as_integer(fields[place], where="/proc/diskstats") for place in (5, 9, 12))
            found += [
                Reading("stackproof_host_disk_read_bytes_total", read * SECTOR_BYTES, device),
                Reading("stackproof_host_disk_written_bytes_total", written * SECTOR_BYTES, device),
                Reading("stackproof_host_disk_busy_seconds_total", busy_ms / 1e3, device),
            ]
        if not found:
            raise UnreadableError("no disk with hardware behind it")
        return tuple(found)


class NetworkReader:
    """Interfaces with hardware behind them; where there are none, as in a container, all but loopback."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._tree = Tree(root)

    def read(self) -> tuple[Reading, ...]:
        lines = [line.partition(":") for line in _text(self._tree, "proc/net/dev").splitlines()[2:]]
        counts = {name.strip(): numbers.split() for name, colon, numbers in lines if colon and name.strip() != "lo"}
        real = [name for name in counts if self._tree.exists(f"sys/class/net/{name}/device")]
        found = [reading for name in real or counts for reading in _interface(name, counts[name])]
        if not found:
            raise UnreadableError("no network interface but loopback")
        return tuple(found)


def _interface(name: str, numbers: list[str]) -> list[Reading]:
    """Of the sixteen columns of /proc/net/dev: bytes and errors received, bytes and errors sent."""
    if len(numbers) < 11:
        raise UnreadableError(f"/proc/net/dev has no counts for {name}")
    received, bad_received, sent, bad_sent = (as_integer(numbers[place], where="/proc/net/dev") for place in (0, 2, 8, 10))
    return [
        Reading("stackproof_host_network_received_bytes_total", received, (name,)),
        Reading("stackproof_host_network_transmitted_bytes_total", sent, (name,)),
        Reading("stackproof_host_network_errors_total", bad_received, (name, "received")),
        Reading("stackproof_host_network_errors_total", bad_sent, (name, "transmitted")),
    ]


class TemperatureReader:
    """The kernel's hwmon sensors, which are looked for once; one that does not answer is left out."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._tree = Tree(root)
        self._sensors: list[tuple[str, tuple[str, str]]] | None = None

    def read(self) -> tuple[Reading, ...]:
        if not self._sensors:
            self._sensors = self._find()
        found = []
        for where, labels in self._sensors:
            try:
                found.append(Reading("stackproof_host_temperature_celsius", int(self._tree.line(where)) / 1e3, labels))
            except (OSError, ValueError, UnreadableError):
                continue
        if not found:
            raise UnreadableError("no temperature sensor answers")
        return tuple(found)

    def _find(self) -> list[tuple[str, tuple[str, str]]]:
        """File, and the labels chip and sensor; the folder's name tells two chips of one kind apart."""
        base = "sys/class/hwmon"
        try:
            chips = self._tree.names(base)
        except OSError as error:
            raise UnreadableError(explain(error)) from None
        found = []
        for chip in chips:
            for name in self._entries(f"{base}/{chip}"):
                if name.startswith("temp") and name.endswith("_input"):
                    sensor = self._word(f"{base}/{chip}/{name.removesuffix('_input')}_label") or name.removesuffix("_input")
                    found.append((f"{base}/{chip}/{name}", (f"{self._word(f'{base}/{chip}/name') or 'unknown'} ({chip})", sensor)))
        return found

    def _entries(self, where: str) -> list[str]:
        try:
            return self._tree.names(where)
        except OSError:
            return []

    def _word(self, where: str) -> str | None:
        try:
            return self._tree.line(where)
        except (OSError, UnreadableError):
            return None


def _text(tree: Tree, where: str) -> str:
    try:
        return tree.text(where)
    except OSError as error:
        raise UnreadableError(explain(error)) from None
