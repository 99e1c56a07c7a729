"""Block devices (edge)."""

import re

from stack.hardware_profiles.inventory import Storage
from stack.hardware_profiles.tree import Tree, UnreadableError

SECTOR = 512  # sysfs counts in these whatever the device's own sector is
# Where a device hangs tells how it is attached; the first that fits, from the most specific.
TRANSPORTS = {
    "nvme": r"/nvme",
    "virtio": r"/virtio\d",
    "usb": r"/usb\d",
    "mmc": r"/mmc_host",
    "sata": r"/ata\d",
    "sas": r"/end_device",
    "scsi": r"/host\d",
}


def read_storage(tree: Tree) -> tuple[Storage, ...]:
    """Devices with hardware behind them: a loop, RAM or device-mapper device has none."""
    devices = tree.attempt("storage", lambda: tree.names("sys/block")) or []
    mounted = tree.attempt("storage.mounts", lambda: _mounts(tree)) or {}
    return tuple(_device(tree, name, mounted) for name in devices if tree.exists(f"sys/block/{name}/device"))


def _device(tree: Tree, name: str, mounted: dict[str, str]) -> Storage:
    where, probe = f"sys/block/{name}", f"storage.{name}"
    transport = tree.attempt(f"{probe}.transport", lambda: _transport(tree, name))
    return Storage(
        device=name,
        model=tree.attempt(f"{probe}.model", lambda: tree.line(f"{where}/device/model")),
        size_bytes=tree.attempt(f"{probe}.size_bytes", lambda: tree.integer(f"{where}/size") * SECTOR),
        rotational=tree.attempt(f"{probe}.rotational", lambda: _rotational(tree, where, transport)),
        transport=transport,
        file_systems=_file_systems(tree, name, mounted),
        serial=tree.attempt(f"{probe}.serial", lambda: tree.identifier(_serial(tree, where))),
    )


def _rotational(tree: Tree, where: str, transport: str | None) -> bool:
    if transport == "virtio":
        raise UnreadableError("a virtual disk says what its driver defaults to, not what lies behind it")
    return bool(tree.integer(f"{where}/queue/rotational"))


def _serial(tree: Tree, where: str) -> str:
    """NVMe keeps it with the controller, virtio with the disk."""
    return tree.line(f"{where}/device/serial" if tree.exists(f"{where}/device/serial") else f"{where}/serial")


def _transport(tree: Tree, name: str) -> str:
    place = tree.target(f"sys/block/{name}")
    found = next((transport for transport, pattern in TRANSPORTS.items() if re.search(pattern, place)), None)
    if found is None:
        raise UnreadableError("its place in the device tree tells no transport")
    return found


def _mounts(tree: Tree) -> dict[str, str]:
    """Type by device, of what is mounted in this process's view."""
    rows = (line.split() for line in tree.text("proc/self/mounts").splitlines())
    return {row[0].removeprefix("/dev/"): row[2] for row in rows if len(row) >= 3 and row[0].startswith("/dev/")}


def _file_systems(tree: Tree, name: str, mounted: dict[str, str]) -> tuple[str, ...]:
    partitions = tree.attempt(f"storage.{name}.file_systems", lambda: tree.names(f"sys/block/{name}")) or []
    names = [name, *(part for part in partitions if part.startswith(name))]
    return tuple(sorted({mounted[each] for each in names if each in mounted}))
