"""What the bus, the kernel's drivers and the makers' tools say of one device becomes one accelerator."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stack.hardware_profiles import Accelerator, collect_inventory
from stack.hardware_profiles.accelerators.pci import PciDevice, describe
from stack.hardware_profiles.tree import Tree

Files = dict[str, bytes]
Build = Callable[[Files], Path]


def device(address: str, vendor: int, number: int, *, kind: int = 0x120000, **files: str) -> Files:
    where = f"sys/bus/pci/devices/{address}"
    numbers = {"class": f"0x{kind:06x}", "vendor": f"0x{vendor:04x}", "device": f"0x{number:04x}"}
    return {f"{where}/{name}": f"{text}\n".encode() for name, text in {**numbers, **files}.items()}


def found_in(root: Path, *, identifiers: bool = False) -> list[Accelerator]:
    return list(collect_inventory(root, identifiers=identifiers).accelerators)


@pytest.fixture
def mi300x(build: Build) -> Path:
    where = "sys/bus/pci/devices/0000:83:00.0"
    return build(
        {
            **device("0000:83:00.0", 0x1002, 0x74A1, mem_info_vram_total="206141652992", unique_id="6f1f0a2b3c4d5e6f", vbios_version="113-M3000100-103"),
            f"{where}/hwmon/hwmon4/power1_cap": b"750000000\n",
            f"{where}/hwmon/hwmon4/power1_cap_max": b"750000000\n",
            f"{where}/pp_dpm_sclk": b"0: 132Mhz *\n1: 2100Mhz \n",
            f"{where}/pp_dpm_mclk": b"0: 900Mhz *\n1: 1300Mhz\n",
            "sys/module/amdgpu/version": b"6.10.5\n",
            "sys/class/kfd/kfd/topology/nodes/0/properties": b"cpu_cores_count 48\ngfx_target_version 0\n",
            "sys/class/kfd/kfd/topology/nodes/1/properties": b"simd_count 1216\ngfx_target_version 90402\nlocation_id 33536\ndomain 0\n",
        }
    )


def test_the_amdgpu_driver_tells_memory_architecture_power_and_clocks_without_a_tool(mi300x: Path) -> None:
    (gpu,) = found_in(mi300x)
    assert (gpu.vendor, gpu.source, gpu.memory_bytes, gpu.architecture, gpu.driver) == ("AMD", "pci", 206141652992, "gfx942", "amdgpu 6.10.5")
    assert (gpu.power_limit_w, gpu.max_power_limit_w, gpu.min_power_limit_w) == (750.0, 750.0, None)
    assert (gpu.max_sm_clock_mhz, gpu.max_memory_clock_mhz, gpu.vbios) == (2100, 1300, "113-M3000100-103")


def test_the_serial_of_an_amd_gpu_is_hashed_unless_asked_for(mi300x: Path) -> None:
    assert (found_in(mi300x)[0].serial or "").startswith("hmac:")
    assert found_in(mi300x, identifiers=True)[0].serial == "6f1f0a2b3c4d5e6f"


@pytest.mark.parametrize(
    ("number", "subsystem", "name", "published"),
    [(0x0063, "", "TPU v5e", "16 GiB"), (0x006F, "", "TPU v6e", "32 GiB"), (0x0027, "0x004f", "TPU v3", "32 GiB"), (0x0076, "", "TPU7x", "192 GiB")],
)
def test_a_tpu_is_known_by_its_number_and_its_memory_is_published_not_detected(number: int, subsystem: str, name: str, published: str, build: Build) -> None:
    extra = {"subsystem_device": subsystem} if subsystem else {}
    found = collect_inventory(build(device("0000:00:05.0", 0x1AE0, number, kind=0xFF0000, **extra)))
    (chip,) = found.accelerators
    assert (chip.vendor, chip.source, chip.name, chip.memory_bytes) == ("Google", "tpu", name, None)
    assert published in found.reason("accelerators.0.memory_bytes")


def test_the_cores_of_one_tpu_chip_count_as_one(build: Build) -> None:
    files = {**device("0000:00:05.0", 0x1AE0, 0x0076), **device("0000:00:05.1", 0x1AE0, 0x0076), **device("0000:00:06.0", 0x1AE0, 0x0076)}
    assert [chip.pci_bus for chip in found_in(build(files))] == ["0000:00:05.0", "0000:00:06.0"]


def test_other_devices_of_google_and_amazon_are_no_accelerators(build: Build) -> None:
    nic, ena = device("0000:00:07.0", 0x1AE0, 0x0042, kind=0x020000), device("0000:00:08.0", 0x1D0F, 0xEC20, kind=0x020000)
    trainium = device("0000:e1:00.0", 0x1D0F, 0x7364, kind=0x088000)
    assert [(each.vendor, each.name) for each in found_in(build({**nic, **ena, **trainium}))] == [("AWS", "Trainium2")]


@pytest.mark.parametrize("vendor", [0x1A03, 0x102B, 0x1234, 0x1AF4, 0x15AD])
def test_graphics_that_only_draw_a_console_are_no_accelerators(vendor: int, build: Build) -> None:
    assert found_in(build(device("0000:03:00.0", vendor, 0x2000, kind=0x030000))) == []


def test_what_a_tool_told_wins_and_the_bus_fills_the_rest(build: Build) -> None:
    root = build(device("0000:3b:00.0", 0x1DA3, 0x1060, numa_node="1", max_link_speed="32.0 GT/s PCIe", max_link_width="16"))
    told = Accelerator(
        index=5, vendor="Intel Gaudi", source="hlml", name="HL-325L", memory_bytes=128 << 30, uuid="01P4", driver="1.24.1", pci_bus="0000:3b:00.0"
    )
    tree = Tree(root)
    device_entry = PciDevice("0000:3b:00.0", 0x1DA3, 0x1060)
    found = describe(tree, device_entry, 2, told)
    assert (found.index, found.name, found.memory_bytes, found.driver, found.numa_node) == (2, "HL-325L", 128 << 30, "1.24.1", 1)
    assert found.pcie is not None
    assert (found.pcie.max_generation, found.pcie.max_width, found.pcie.width) == (5, 16, None)
    assert found.uuid is not None
    assert found.uuid.startswith("hmac:")
    assert not any(probe.name == "accelerators.2" for probe in tree.probes)


def test_a_numa_node_of_minus_one_is_unknown_with_the_reason(build: Build) -> None:
    found = collect_inventory(build(device("0000:3b:00.0", 0x1DA3, 0x1060, numa_node="-1")))
    assert found.accelerators[0].numa_node is None
    assert "names no NUMA node" in found.reason("accelerators.0.numa_node")
