"""A tree of /proc, /sys and /etc files like those of a two-socket server with an undriven GPU."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from smbios_tables import TABLE_END, memory_device

CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu sse4_2 avx avx2 fma avx512f avx512_bf16 amx_tile amx_bf16 amx_int8

processor\t: 1
model name\t: a second processor that must not win
"""
GPU = "0000:17:00.0"
CORES_PER_SOCKET = 2
THREADS = 2


def files() -> dict[str, bytes]:
    """Content by path."""
    found = {
        "proc/cpuinfo": CPUINFO,
        "proc/meminfo": "MemTotal:       1056784708 kB\nMemFree: 3 kB\nMemAvailable:   1040000000 kB\nSwapTotal:  8388604 kB\n",
        "proc/self/limits": "Limit   Soft Limit   Hard Limit   Units\nMax locked memory         8388608              8388608              bytes\n",
        "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\nGCC version:  gcc\n",
        "sys/module/mlx5_core/version": "24.10-1.1.4\n",
        "sys/module/nvidia/version": "580.95.05\n",
        "sys/devices/system/node/node0/cpulist": "0-1,4-5\n",
        "sys/devices/system/node/node1/cpulist": "2-3,6-7\n",
        "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal:       528392352 kB\nNode 0 MemFree:  1 kB\n",
        "sys/devices/system/node/node1/meminfo": "Node 1 MemTotal:       528392356 kB\n",
        "usr/bin/containerd": "\x7fELF",
        "run/podman/podman.sock": "stands for a socket",
        "var/lib/dpkg/status": "Package: containerd.io\nStatus: install ok installed\nVersion: 2.1.4-1~ubuntu.24.04~noble\n\n"
        "Package: podman\nStatus: deinstall ok config-files\nVersion: 4.9.3+ds1-1\n",
        "usr/local/cuda/version.json": '{"cuda": {"name": "CUDA SDK", "version": "13.0.2"}}',
        "opt/rocm/.info/version": "7.0.2-56\n",
        "proc/self/status": "Name:\tpython\nCpus_allowed_list:\t0-5\n",
        "proc/self/cgroup": "0::/kubepods/pod1\n",
        "proc/self/mounts": "/dev/nvme0n1p2 / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n",
        "proc/sys/kernel/osrelease": "6.8.0-90-generic\n",
        "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.3 LTS"\n',
        "etc/machine-id": "00112233445566778899aabbccddeeff\n",
        "sys/fs/cgroup/kubepods/pod1/memory.max": f"{64 << 30}\n",
        "sys/fs/cgroup/kubepods/memory.max": "max\n",
        "sys/fs/cgroup/kubepods/pod1/cpu.max": "450000 100000\n",
        "sys/devices/system/cpu/online": "0-7\n",
        "sys/devices/system/node/online": "0-1\n",
        "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm\n",
        "sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
        "sys/class/dmi/id/product_name": "PowerEdge XE9680\n",
        "sys/class/dmi/id/bios_vendor": "Dell Inc.\n",
        "sys/class/dmi/id/bios_version": "2.5.4\n",
        "sys/class/dmi/id/bios_date": "01/15/2026\n",
        "sys/class/tpm/tpm0/tpm_version_major": "2\n",
        "sys/devices/pci0000:00/nvme/nvme0/nvme0n1/size": "15002931888\n",
        "sys/devices/pci0000:00/nvme/nvme0/nvme0n1/queue/rotational": "0\n",
        "sys/devices/pci0000:00/nvme/nvme0/nvme0n1/nvme0n1p2/size": "15002900000\n",
        "sys/devices/pci0000:00/nvme/nvme0/model": "Dell Ent NVMe PM1743\n",
        "sys/devices/pci0000:00/nvme/nvme0/serial": "S6XNNE0X100001\n",
        "sys/devices/virtual/block/loop0/size": "8\n",
        "sys/class/net/lo/address": "00:00:00:00:00:00\n",
        "sys/class/net/ens1f0/address": "b8:ce:f6:00:00:01\n",
        "sys/class/net/ens1f0/speed": "100000\n",
        "sys/class/net/ens1f0/operstate": "up\n",
        "sys/class/infiniband/mlx5_0/node_type": "1: CA\n",
        "sys/class/infiniband/mlx5_0/ports/1/link_layer": "Ethernet\n",
        "sys/bus/pci/devices/0000:31:00.0/class": "0x020000\n",
        "sys/bus/pci/devices/0000:31:00.0/vendor": "0x15b3\n",
        "sys/bus/pci/devices/0000:31:00.0/device": "0x101d\n",
        "sys/bus/pci/devices/0000:31:00.0/numa_node": "1\n",
        "sys/bus/pci/devices/0000:31:00.0/sriov_numvfs": "4\n",
        "sys/bus/pci/devices/0000:31:00.0/sriov_totalvfs": "127\n",
        "sys/class/net/docker0/address": "02:42:00:00:00:01\n",
        "sys/class/net/docker0/speed": "-1\n",
        "sys/class/net/docker0/operstate": "down\n",
        f"sys/bus/pci/devices/{GPU}/class": "0x030200\n",
        f"sys/bus/pci/devices/{GPU}/vendor": "0x10de\n",
        f"sys/bus/pci/devices/{GPU}/device": "0x2330\n",
        f"sys/bus/pci/devices/{GPU}/numa_node": "0\n",
        f"sys/bus/pci/devices/{GPU}/current_link_speed": "2.5 GT/s PCIe\n",
        f"sys/bus/pci/devices/{GPU}/max_link_speed": "32.0 GT/s PCIe\n",
        f"sys/bus/pci/devices/{GPU}/current_link_width": "16\n",
        f"sys/bus/pci/devices/{GPU}/max_link_width": "16\n",
        "sys/bus/pci/devices/0000:03:00.0/class": "0x030000\n",
        "sys/bus/pci/devices/0000:03:00.0/vendor": "0x102b\n",
        "sys/bus/pci/devices/0000:03:00.0/device": "0x0536\n",
        "usr/share/misc/pci.ids": "# PCI IDs\n1002  Advanced Micro Devices\n\t2330  wrong vendor\n10de  NVIDIA Corporation\n\t2330  GH100 [H100 SXM5 80GB]\n",
    }
    content = {path: text.encode() for path, text in found.items()}
    content["sys/firmware/dmi/tables/DMI"] = memory_device("DIMM A1", serial="3F2A9C01") + memory_device("DIMM B1", serial="3F2A9C02") + TABLE_END
    content["sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"] = b"\x06\x00\x00\x00\x01"
    for cpu in range(2 * CORES_PER_SOCKET * THREADS):
        core = cpu % (2 * CORES_PER_SOCKET)
        socket = core // CORES_PER_SOCKET
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        content[f"{folder}/topology/physical_package_id"] = f"{socket}\n".encode()
        content[f"{folder}/topology/core_cpus_list"] = f"{core},{core + 2 * CORES_PER_SOCKET}\n".encode()
        content[f"{folder}/cpufreq/scaling_governor"] = b"performance\n"
        content[f"{folder}/cpufreq/cpuinfo_max_freq"] = b"3800000\n"
        content[f"{folder}/cache/index0/level"] = b"1\n"
        content[f"{folder}/cache/index0/type"] = b"Data\n"
        content[f"{folder}/cache/index0/size"] = b"48K\n"
        content[f"{folder}/cache/index0/shared_cpu_list"] = f"{core},{core + 2 * CORES_PER_SOCKET}\n".encode()
        content[f"{folder}/cache/index3/level"] = b"3\n"
        content[f"{folder}/cache/index3/type"] = b"Unified\n"
        content[f"{folder}/cache/index3/size"] = b"105M\n"
        content[f"{folder}/cache/index3/shared_cpu_list"] = f"socket {socket}\n".encode()
    return content


LINKS = {
    "sys/block/nvme0n1": "../devices/pci0000:00/nvme/nvme0/nvme0n1",
    "sys/block/loop0": "../devices/virtual/block/loop0",
    "sys/devices/pci0000:00/nvme/nvme0/nvme0n1/device": "../../nvme0",
    "sys/class/infiniband/mlx5_0/device": "../../../bus/pci/devices/0000:31:00.0",
    "sys/class/net/ens1f0/device": "../../../bus/pci/devices/0000:31:00.0",
    "sys/bus/pci/devices/0000:31:00.0/driver": "../../drivers/mlx5_core",
}


Build = Callable[[dict[str, bytes]], Path]


@pytest.fixture(scope="session")
def machine_files() -> dict[str, bytes]:
    """Content by path; copy it before changing it."""
    return files()


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Writes a tree, with the links that sysfs has, and returns its root."""
    parent, numbers = tmp_path_factory.mktemp("machines"), itertools.count()

    def write(content: dict[str, bytes]) -> Path:
        root = parent / str(next(numbers))
        for path, data in content.items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        for path, target in LINKS.items():
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
        return root

    return write


@pytest.fixture(scope="session")
def machine(build: Build, machine_files: dict[str, bytes]) -> Path:
    """The healthy server; not to be written to."""
    return build(machine_files)
