"""What the host's own files tell: memory modules, NUMA nodes, RDMA, drivers, runtimes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stack.hardware_profiles import collect_inventory
from stack.hardware_profiles.inventory import Dimm, Driver, NumaNode
from stack.hardware_profiles.network import read_network
from stack.hardware_profiles.tree import Tree

Files = dict[str, bytes]
Build = Callable[[Files], Path]


def test_memory_modules_come_from_the_firmware_with_hashed_serials(machine: Path) -> None:
    first, second = collect_inventory(machine).memory.dimms
    assert first == Dimm(
        slot="P0 CHANNEL A DIMM A1",
        size_bytes=64 << 30,
        kind="DDR5",
        speed_mt_s=5600,
        manufacturer="Micron",
        part_number="MTC40F2046S1RC56BD1",
        serial=first.serial,
    )
    assert first.serial is not None
    assert first.serial.startswith("hmac:")
    assert first.serial != second.serial
    assert collect_inventory(machine, identifiers=True).memory.dimms[0].serial == "3F2A9C01"


def test_swap_and_the_limit_of_locked_memory_are_read(machine: Path) -> None:
    memory = collect_inventory(machine).memory
    assert memory.swap_bytes == 8388604 * 1024
    assert memory.locked_limit_bytes == 8388608


def test_unlimited_locked_memory_is_known_and_has_no_size(build: Build, machine_files: Files) -> None:
    found = collect_inventory(build({**machine_files, "proc/self/limits": b"Max locked memory         unlimited            unlimited            bytes\n"}))
    assert found.memory.locked_limit_bytes is None
    assert found.marks["memory.locked_limit_bytes"] == "detected"


def test_numa_nodes_have_their_processors_and_memory(machine: Path) -> None:
    cpu = collect_inventory(machine).cpu
    assert cpu.nodes == (NumaNode(node=0, cpus=4, memory_bytes=528392352 * 1024), NumaNode(node=1, cpus=4, memory_bytes=528392356 * 1024))
    assert (cpu.governor, cpu.max_mhz) == ("performance", 3800.0)


def test_a_node_of_memory_alone_has_no_processors(build: Build, machine_files: Files) -> None:
    found = collect_inventory(build({**machine_files, "sys/devices/system/node/node1/cpulist": b"\n"}))
    assert found.cpu.nodes[1].cpus == 0


def test_a_network_card_tells_rdma_virtual_functions_and_its_numa_node(machine: Path) -> None:
    card = next(each for each in collect_inventory(machine).network if each.name == "ens1f0")
    assert (card.rdma, card.virtual_functions, card.max_virtual_functions, card.numa_node) == ("RoCE mlx5_0", 4, 127, 1)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"ports/1/link_layer": b"InfiniBand\n"}, "InfiniBand mlx5_0"),
        ({"node_type": b"4: RNIC\n"}, "iWARP mlx5_0"),
        ({"ports/1/link_layer": b"Unspecified\n"}, None),
    ],
)
def test_rdma_is_named_by_its_link_layer(changes: Files, kind: str | None, build: Build, machine_files: Files) -> None:
    tree = Tree(build({**machine_files, **{f"sys/class/infiniband/mlx5_0/{name}": data for name, data in changes.items()}}))
    assert next(each.rdma for each in read_network(tree) if each.name == "ens1f0") == kind


def test_a_machine_without_rdma_has_none_and_says_so(build: Build, machine_files: Files) -> None:
    root = build(machine_files)
    (root / "sys/class/infiniband").rename(root / "sys/class/elsewhere")
    found = collect_inventory(root)
    assert found.marks["network.ens1f0.rdma"] == "detected"
    assert not any("rdma" in probe.name for probe in found.failures)


def test_drivers_and_toolkits_are_told_from_files(machine: Path) -> None:
    software = collect_inventory(machine).software
    assert software.drivers == (Driver(name="nvidia", version="580.95.05"), Driver(name="mlx5_core", version="24.10-1.1.4"))
    assert (software.cuda, software.rocm) == ("13.0.2", "7.0.2-56")


def test_the_open_kernel_module_of_nvidia_names_its_version_too(build: Build, machine_files: Files) -> None:
    text = b"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder@U22)\n"
    assert collect_inventory(build({**machine_files, "proc/driver/nvidia/version": text})).software.drivers[0].version == "580.95.05"


def test_a_runtime_shows_by_its_program_or_socket_and_its_version_by_the_package_list(machine: Path) -> None:
    # Podman's package was removed, so that its version is no longer that of what is there.
    assert collect_inventory(machine).software.container_runtimes == ("containerd 2.1.4", "podman")


def test_an_accelerator_on_the_bus_has_its_link_and_numa_node(machine: Path) -> None:
    (gpu,) = collect_inventory(machine).accelerators
    assert gpu.numa_node == 0
    assert gpu.pcie is not None
    assert (gpu.pcie.generation, gpu.pcie.width, gpu.pcie.max_generation, gpu.pcie.max_width) == (1, 16, 5, 16)


def test_an_accelerator_of_an_unknown_maker_is_listed_by_its_numbers(build: Build, machine_files: Files) -> None:
    where = "sys/bus/pci/devices/0001:05:00.0"
    unknown = {f"{where}/class": b"0x120000\n", f"{where}/vendor": b"0x1e52\n", f"{where}/device": b"0xb140\n"}
    found = collect_inventory(build({**machine_files, **unknown}))
    assert [(each.vendor, each.name) for each in found.accelerators] == [("NVIDIA", "GH100 [H100 SXM5 80GB]"), ("PCI vendor 1e52", "PCI device 1e52:b140")]
    assert found.accelerators[1].memory_bytes is None
    assert "does not tell" in found.reason("accelerators.1.memory_bytes")
