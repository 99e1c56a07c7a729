"""An inventory in a few rows for people (logic)."""

from collections import Counter
from collections.abc import Iterable

from stack.hardware_profiles.inventory import Accelerator, Dimm, Inventory, Link, NetworkInterface, NumaNode, Storage
from stack.hardware_profiles.marks import declared_paths

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
        ("frequency", _joined([f"up to {cpu.max_mhz:g} MHz" if cpu.max_mhz else None, cpu.governor and f"governor {cpu.governor}"])),
        ("NUMA nodes", None if cpu.numa_nodes is None else _nodes(cpu.numa_nodes, cpu.nodes)),
        ("memory", _gib(memory.total_bytes)),
        ("memory available / limit", f"{_gib(memory.available_bytes) or '?'} / {_limit(inventory)}"),
        ("memory modules", _modules(memory.dimms)),
        ("swap / shared / lockable", f"{_gib(memory.swap_bytes) or '?'} / {_gib(memory.shared_bytes) or '?'} / {_locked(inventory)}"),
        *(("storage", _storage(disk)) for disk in inventory.storage),
        *(("network", _network(interface)) for interface in inventory.network if not interface.virtual),
        *(("accelerator", row) for row in _accelerators(inventory.accelerators)),
        *(("accelerator links", row) for row in _links(inventory.links)),
        ("operating system", _joined([software.operating_system, software.kernel and f"kernel {software.kernel}"])),
        ("drivers", ", ".join(" ".join(filter(None, (each.name, each.version))) for each in software.drivers) or "none loaded that are known"),
        ("toolkits", _joined([software.cuda and f"CUDA {software.cuda}", software.rocm and f"ROCm {software.rocm}"]) or "none installed"),
        ("container runtimes", ", ".join(software.container_runtimes) or "none found"),
        ("software", ", ".join(f"{each.name} {each.version}" for each in software.packages if each.version) or "none of the stack's"),
        *((f"{path} (declared)", str(_at(inventory, path))) for path in sorted(declared_paths(inventory)) if path.startswith("system.")),
    ]


def unknown_rows(inventory: Inventory) -> list[tuple[str, str]]:
    """What could not be read and nobody declared, with the reason; what is only not installed is left to the JSON."""
    declared = declared_paths(inventory)
    return [(probe.name, probe.reason) for probe in inventory.failures if probe.name not in declared and probe.reason != "not installed"]


def _at(inventory: Inventory, path: str) -> object:
    return getattr(inventory.system, path.removeprefix("system."))


def _joined(parts: Iterable[str | None]) -> str | None:
    return " ".join(part for part in parts if part) or None


def _gib(size: int | None) -> str | None:
    return None if size is None else f"{size / GIB:.1f} GiB"


def _kib(size: int | None) -> str:
    return "?" if size is None else f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _limit(inventory: Inventory) -> str:
    return _gib(inventory.memory.limit_bytes) or ("unknown" if inventory.reason("memory.limit_bytes") else "none")


def _locked(inventory: Inventory) -> str:
    size = inventory.memory.locked_limit_bytes
    return f"{size >> 10} KiB" if size is not None else "unknown" if inventory.reason("memory.locked_limit_bytes") else "no limit"


def _nodes(count: int, nodes: tuple[NumaNode, ...]) -> str:
    each = ", ".join(f"{node.node}: {'?' if node.cpus is None else node.cpus} threads, {_gib(node.memory_bytes) or '?'}" for node in nodes)
    return f"{count} ({each})" if each else str(count)


def _modules(dimms: tuple[Dimm, ...]) -> str | None:
    """As in `24 x 64.0 GiB DDR5 5600 MT/s`."""
    counted = Counter((dimm.size_bytes, dimm.kind, dimm.speed_mt_s) for dimm in dimms)
    kinds = (f"{count} x {_joined([_gib(size) or 'size unknown', kind, f'{speed} MT/s' if speed else None])}" for (size, kind, speed), count in counted.items())
    return ", ".join(kinds) or None


def _storage(disk: Storage) -> str:
    kind = {True: "rotating", False: "solid state", None: None}[disk.rotational]
    mounted = ", ".join(disk.file_systems)
    return ", ".join(part for part in (disk.device, disk.model, _gib(disk.size_bytes) or "size unknown", disk.transport, kind, mounted) if part)


def _network(interface: NetworkInterface) -> str:
    speed = "speed unknown" if interface.speed_mbit_s is None else f"{interface.speed_mbit_s} Mbit/s"
    functions = interface.max_virtual_functions and f"SR-IOV {interface.virtual_functions or 0} of {interface.max_virtual_functions}"
    return ", ".join(part for part in (interface.name, speed, interface.state, interface.driver, interface.rdma, functions) if part)


def _links(found: tuple[Link, ...]) -> list[str]:
    """One row per kind of path, as in `28 pairs over nvswitch, 18 links`."""
    counted = Counter((link.kind, f"{link.count} links" if link.path is None else link.path) for link in found)
    return [f"{pairs} {'pair' if pairs == 1 else 'pairs'} over {kind}, {how}" for (kind, how), pairs in counted.items()]


def _accelerators(found: tuple[Accelerator, ...]) -> list[str | None]:
    """One row per kind, as in `8 x NVIDIA H100 80GB HBM3`."""
    counted = Counter((each.vendor, each.name, each.memory_bytes, each.source) for each in found)
    if not counted:
        return ["none found"]
    return [
        f"{count} x " + ", ".join([name or f"{vendor}, does not answer", _gib(size) or "memory unknown", *(["no driver library"] if source == "pci" else [])])
        for (vendor, name, size, source), count in counted.items()
    ]
