"""A damaged machine costs the values of what is damaged, with the reason, and no other."""

import os
import random
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.hardware_profiles import Inventory, collect_inventory
from stack.hardware_profiles.labels import node_labels
from stack.hardware_profiles.marks import NAMES, leaves
from stack.hardware_profiles.mlperf import system_description
from stack.hardware_profiles.summary import rows

Files = dict[str, bytes]
Build = Callable[[Files], Path]

FLIPS = 100
# Which values may change when a file does: those that are read from it, and those drawn from these. Nothing else.
DEPENDENTS = {
    r"proc/cpuinfo": r"cpu\.(model|isa|virtualized)|host\.virtualization",
    r"proc/meminfo": r"memory\.(total|available|swap|limit)_bytes",
    r"proc/self/status": r"cpu\.allowed_cores",
    r"proc/self/limits": r"memory\.locked_limit_bytes",
    r"proc/self/cgroup": r"memory\.limit_bytes|cpu\.limit_cores",
    r"proc/self/mounts": r"storage\..*\.file_systems",
    r"proc/sys/kernel/osrelease": r"software\.kernel",
    r"proc/driver/nvidia/version": r"software\.drivers\.nvidia\.version",
    r"etc/os-release": r"software\.operating_system",
    r"etc/machine-id": r".*\.(serial|address|uuid)",
    r"sys/fs/cgroup/.*/memory\.max": r"memory\.limit_bytes",
    r"sys/fs/cgroup/.*/cpu\.max": r"cpu\.limit_cores",
    r"sys/devices/system/cpu/online": r"cpu\..*",
    r"sys/devices/system/cpu/cpu\d+/topology/physical_package_id": r"cpu\.sockets",
    r"sys/devices/system/cpu/cpu\d+/topology/core_cpus_list": r"cpu\.physical_cores",
    r"sys/devices/system/cpu/cpu\d+/cache/.*": r"cpu\.caches",
    r"sys/devices/system/cpu/cpu\d+/cpufreq/scaling_governor": r"cpu\.governor",
    r"sys/devices/system/cpu/cpu\d+/cpufreq/cpuinfo_max_freq": r"cpu\.max_mhz",
    r"sys/devices/system/node/online": r"cpu\.(numa_nodes|nodes.*)",
    r"sys/devices/system/node/node(\d)/cpulist": r"cpu\.nodes\.\1\.cpus",
    r"sys/devices/system/node/node(\d)/meminfo": r"cpu\.nodes\.\1\.memory_bytes",
    r"sys/devices/system/clocksource/.*": r"host\.virtualization",
    r"sys/class/dmi/id/sys_vendor": r"host\.(vendor|virtualization)",
    r"sys/class/dmi/id/product_name": r"host\.(product|virtualization)",
    r"sys/class/dmi/id/bios_.*": r"host\.firmware",
    r"sys/class/tpm/.*": r"host\.tpm",
    r"sys/firmware/efi/.*": r"host\.secure_boot",
    r"sys/firmware/dmi/tables/DMI": r"memory\.dimms.*",
    r"sys/devices/pci0000:00/nvme/nvme0/.*": r"storage\.nvme0n1\..*",
    r"sys/devices/virtual/block/loop0/.*": r"",
    r"sys/class/net/(\w+)/(\w+)": r"network\.\1\..*",
    r"sys/class/infiniband/.*": r"network\.ens1f0\.rdma",
    r"sys/bus/pci/devices/0000:31:00\.0/(class|vendor|device)": r"accelerators.*",
    r"sys/bus/pci/devices/0000:31:00\.0/.*": r"network\.ens1f0\..*",
    r"sys/bus/pci/devices/.*": r"accelerators.*",
    r"sys/module/(\w+)/version": r"software\.drivers\.\1\.version",
    r"usr/share/misc/pci\.ids": r"accelerators\.0\.name",
    r"usr/bin/containerd": r"software\.container_runtimes",
    r"run/podman/.*": r"software\.container_runtimes",
    r"var/lib/dpkg/status": r"software\.container_runtimes",
    r"usr/local/cuda/.*": r"software\.cuda",
    r"opt/rocm/.*": r"software\.rocm",
}


def values(found: Inventory) -> dict[str, object]:
    """Single values, and lists whose members have no names."""
    return {leaf.path: leaf.value for leaf in leaves(found) if not (isinstance(leaf.value, tuple) and leaf.path in NAMES)}


def dependents(path: str) -> re.Pattern[str]:
    """Of the values' paths."""
    for pattern, names in DEPENDENTS.items():
        if match := re.fullmatch(pattern, path):
            return re.compile(match.expand(names) if match.groups() else names)
    raise AssertionError(f"no row of DEPENDENTS speaks of {path}")


def flipped(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def check(healthy: Inventory, found: Inventory, path: str) -> None:
    """No value but the dependents of `path` differs, and each that was lost has a reason."""
    before, after, allowed = values(healthy), values(found), dependents(path)
    for name in before.keys() | after.keys():
        if before.get(name) != after.get(name):
            assert allowed.fullmatch(name), f"{path} changed {name}: {before.get(name)!r} -> {after.get(name)!r}"
    assert Inventory.model_validate_json(found.model_dump_json()) == found
    rows(found)
    system_description(found)
    node_labels(found)


@pytest.mark.slow
def test_a_hundred_flipped_bits_cost_only_what_is_read_from_their_file(build: Build, machine_files: Files, machine: Path) -> None:
    dice, healthy = random.Random(4), collect_inventory(machine, identifiers=True)
    for path in dice.choices(sorted(machine_files), k=FLIPS):
        root = build({**machine_files, path: flipped(machine_files[path], dice)})
        check(healthy, collect_inventory(root, identifiers=True), path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gone", "broken link", "no such device", "input/output error", "folder"])
def test_each_file_that_fails_costs_only_what_is_read_from_it(kind: str, build: Build, machine_files: Files, machine: Path) -> None:
    healthy = collect_inventory(machine)
    root = build(machine_files)
    for path in sorted(machine_files):
        place = root / path
        place.unlink()
        with broken(place, kind):
            if path == "etc/machine-id":  # hashes are random without it
                assert collect_inventory(root).storage[0].serial != healthy.storage[0].serial
            else:
                check(healthy, collect_inventory(root), path)
        place.write_bytes(machine_files[path])


class broken:  # noqa: N801  # reads as a word of the test
    """A file that opens or reads with an error, as of a device that left between listing and reading; nothing here needs root."""

    def __init__(self, place: Path, kind: str) -> None:
        self.place, self.kind = place, kind
        self.socket: socket.socket | None = None

    def __enter__(self) -> None:
        if self.kind == "broken link":
            self.place.symlink_to("left-with-its-device")
        elif self.kind == "no such device":  # opening a socket gives ENXIO
            self.socket = socket.socket(socket.AF_UNIX)
            folder = os.open(self.place.parent, os.O_RDONLY)
            try:  # the name of a socket holds 108 bytes
                self.socket.bind(f"/proc/self/fd/{folder}/{self.place.name}")
            finally:
                os.close(folder)
        elif self.kind == "input/output error":  # the first page of a process is never mapped: reading it gives EIO
            self.place.symlink_to("/proc/self/mem")
        elif self.kind == "folder":
            self.place.mkdir()

    def __exit__(self, *_error: object) -> None:
        if self.socket is not None:
            self.socket.close()
        if self.kind == "folder":
            self.place.rmdir()
        else:
            self.place.unlink(missing_ok=True)


def test_the_errors_of_the_kernel_are_told_in_its_words(build: Build, machine_files: Files) -> None:
    root = build(machine_files)
    place = root / "sys/class/dmi/id/sys_vendor"
    place.unlink()
    for kind, words in (("no such device", "no such device or address"), ("input/output error", "input/output error"), ("folder", "is a directory")):
        with broken(place, kind):
            assert words in collect_inventory(root).reason("host.vendor")


@pytest.mark.parametrize("folder", ["sys/block", "sys/class/net", "sys/class/infiniband", "sys/bus/pci/devices", "sys/class/kfd/kfd/topology/nodes"])
def test_a_device_that_is_listed_and_gone_hides_no_other(folder: str, build: Build, machine_files: Files, machine: Path) -> None:
    root, healthy = build(machine_files), collect_inventory(machine)
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "0000:99:00.0").symlink_to("../../left-with-its-device")
    found = collect_inventory(root)
    assert {name: value for name, value in values(found).items() if "0000:99" not in name} == values(healthy)


def test_devices_that_come_and_go_during_the_scan_never_raise(build: Build, machine_files: Files) -> None:
    root, stop = build(machine_files), threading.Event()
    moving = [
        root / path
        for path in ("sys/bus/pci/devices/0000:17:00.0", "sys/devices/pci0000:00/nvme/nvme0", "sys/class/net/docker0", "sys/devices/system/node/node1")
    ]

    def shake() -> None:
        while not stop.is_set():
            for place in moving:
                place.rename(place.with_name("elsewhere"))
                place.with_name("elsewhere").rename(place)

    thread = threading.Thread(target=shake)
    thread.start()
    try:
        for _ in range(30):
            found = collect_inventory(root)
            assert found.cpu.model == "Intel(R) Xeon(R) Platinum 8480+"
            assert found.memory.total_bytes == 1056784708 * 1024
    finally:
        stop.set()
        thread.join()
