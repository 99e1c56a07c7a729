"""An inventory in a few rows for people (logic)."""

from collections import Counter
from collections.abc import Iterable

from stack.hardware_profiles.inventory import Accelerator, Inventory, NetworkInterface, Storage

GIB = 1 << 30


def rows(inventory: Inventory) -> list[tuple[str, str | None]]:
    """Label and value; None where it is unknown."""
    cpu, memory, host, software = inventory.cpu, inventory.memory, inventory.host, inventory.software
    return [
        ("host", _joined([host.vendor, host.product])),
        ("firmware", host.firmware),
        ("virtualization", _joined([host.virtualization, None if host.container == "none" else f"in {host.container}"])),
        ("Secure Boot", {True: "on", False: "off", None: None}[host.secure_boot]),
        ("TPM", host.tpm),
        ("CPU", cpu.model),
        ("sockets / cores / threads", " / ".join("?" if count is None else str(count) for count in (cpu.sockets, cpu.physical_cores, cpu.logical_cores))),
        ("usable cores", None if cpu.usable_cores is None else f"{cpu.usable_cores:g}"),
        ("instruction sets", _joined(cpu.isa)),
        ("caches", _joined(f"L{cache.level} {cache.kind[:1]} {cache.instances}x{_kib(cache.size_bytes)}" for cache in cpu.caches)),
        ("NUMA nodes", None if cpu.numa_nodes is None else str(cpu.numa_nodes)),
        ("memory", _gib(memory.total_bytes)),
        ("memory available / limit", f"{_gib(memory.available_bytes) or '?'} / {_limit(inventory)}"),
        *(("storage", _storage(disk)) for disk in inventory.storage),
        *(("network", _network(interface)) for interface in inventory.network if not interface.virtual),
        *(("accelerator", row) for row in _accelerators(inventory.accelerators)),
        ("operating system", _joined([software.operating_system, software.kernel and f"kernel {software.kernel}"])),
        ("software", ", ".join(f"{each.name} {each.version}" for each in software.packages if each.version) or "none of the stack's"),
    ]


def _joined(parts: Iterable[str | None]) -> str | None:
    return " ".join(part for part in parts if part) or None


def _gib(size: int | None) -> str | None:
    return None if size is None else f"{size / GIB:.1f} GiB"


def _kib(size: int | None) -> str:
    return "?" if size is None else f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _limit(inventory: Inventory) -> str:
    return _gib(inventory.memory.limit_bytes) or ("unknown" if inventory.reason("memory.limit_bytes") else "none")


def _storage(disk: Storage) -> str:
    kind = {True: "rotating", False: "solid state", None: None}[disk.rotational]
    mounted = ", ".join(disk.file_systems)
    return ", ".join(part for part in (disk.device, disk.model, _gib(disk.size_bytes) or "size unknown", disk.transport, kind, mounted) if part)


def _network(interface: NetworkInterface) -> str:
    speed = "speed unknown" if interface.speed_mbit_s is None else f"{interface.speed_mbit_s} Mbit/s"
    return ", ".join(part for part in (interface.name, speed, interface.state, interface.driver) if part)


def _accelerators(found: tuple[Accelerator, ...]) -> list[str | None]:
    """One row per kind, as in `8 x NVIDIA H100 80GB HBM3`."""
    counted = Counter((each.vendor, each.name, each.memory_bytes, each.source) for each in found)
    if not counted:
        return ["none found"]
    return [
        f"{count} x " + ", ".join([name or f"{vendor}, does not answer", _gib(size) or "memory unknown", *(["no driver library"] if source == "pci" else [])])
        for (vendor, name, size, source), count in counted.items()
    ]
