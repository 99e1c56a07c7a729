"""Accelerators seen on the PCI bus, with or without a driver (edge)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stack.hardware_profiles.inventory import Accelerator, PciePort
from stack.hardware_profiles.tree import Tree, UnreadableError

T = TypeVar("T")

PCI = "sys/bus/pci/devices"
PROCESSING = 0x12  # class code of processing accelerators
DISPLAY = 0x03  # class code of display controllers
NVIDIA, AMD, INTEL, HABANA, GOOGLE, AMAZON = 0x10DE, 0x1002, 0x8086, 0x1DA3, 0x1AE0, 0x1D0F
VENDORS = {NVIDIA: "NVIDIA", AMD: "AMD", INTEL: "Intel", HABANA: "Intel Gaudi", GOOGLE: "Google", AMAZON: "AWS"}
# Management graphics of server boards, and what hypervisors emulate: they draw a console and cannot compute.
CONSOLES = frozenset((0x1A03, 0x102B, 0x1013, 0x1234, 0x15AD, 0x80EE, 0x1AB8, 0x1414, 0x1AF4, 0x1B36, 0x18CA, 0x1A44, 0x126F))
# Some of Google's and Amazon's devices carry another class code than that of an accelerator; their makers' lists tell them by number.
NUMBERED: dict[int, dict[int, str]] = {
    GOOGLE: {0x0027: "TPU v2 or v3", 0x005E: "TPU v4", 0x0063: "TPU v5e", 0x0062: "TPU v5p", 0x006F: "TPU v6e", 0x0076: "TPU7x"},
    AMAZON: {
        **dict.fromkeys((0x7064, 0x7065, 0x7066, 0x7067), "Inferentia"),
        0x7164: "Trainium",
        0x7264: "Inferentia2",
        0x7364: "Trainium2",
    },
    HABANA: {
        **dict.fromkeys((0x1000, 0x1001, 0x1010, 0x1011), "Gaudi"),
        **dict.fromkeys((0x1020, 0x1021), "Gaudi 2"),
        **dict.fromkeys((0x1060, 0x1062, 0x1063), "Gaudi 3"),
    },
}
NO_MEMORY = "its entry on the bus does not tell it"
NAME_LISTS = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids")
# Transfers in thousand millions a second of each PCIe generation.
GENERATIONS = {"2.5": 1, "5": 2, "5.0": 2, "8": 3, "8.0": 3, "16": 4, "16.0": 4, "32": 5, "32.0": 5, "64": 6, "64.0": 6}


@dataclass(frozen=True)
class PciDevice:
    """An accelerator's entry on the bus; `vendor` and `device` are the numbers PCI gives them."""

    address: str
    vendor: int
    device: int

    @property
    def maker(self) -> str:
        return VENDORS.get(self.vendor, f"PCI vendor {self.vendor:04x}")


def scan_pci(tree: Tree) -> tuple[PciDevice, ...]:
    """Display and processing accelerators in the order of their addresses, whoever made them."""
    addresses = tree.attempt("accelerators.pci", lambda: tree.names(PCI)) or []
    found = (tree.attempt(f"accelerators.pci.{address}", lambda where=address: _device(tree, where)) for address in addresses)  # type: ignore[misc]
    return tuple(device for kind, device in filter(None, found) if _computes(kind, device))


def describe(tree: Tree, device: PciDevice, index: int, told: Accelerator | None = None, *, no_memory: str = NO_MEMORY) -> Accelerator:
    """All that is known of a device: what its maker's tool `told`, and from the bus what that left open.

    Identifiers in `told` are the originals; they leave here as `tree.identifier` gives them. `no_memory` is the
    reason noted when the size of the memory stays unknown.
    """
    where, probe = f"{PCI}/{device.address}", f"accelerators.{index}"
    if told is None:
        tree.note(probe, "only the kernel's entries could be read: no management library or tool answered for it")

    def field(name: str, read: Callable[[], T]) -> T | None:
        known: T | None = getattr(told, name, None)
        return known if known is not None else tree.attempt(f"{probe}.{name}", read)

    base = told or Accelerator(index=index, vendor=device.maker, source="pci")
    return hidden(tree, base).model_copy(
        update={
            "index": index,
            "name": base.name
            or _listed_name(tree, device)
            or NUMBERED.get(device.vendor, {}).get(device.device)
            or f"PCI device {device.vendor:04x}:{device.device:04x}",
            "pci_bus": device.address,
            "memory_bytes": field("memory_bytes", lambda: _memory(tree, where, no_memory)),
            "driver": field("driver", lambda: tree.link_name(f"{where}/driver")),
            "pcie": field("pcie", lambda: pcie_port(tree, device.address)),
            "numa_node": field("numa_node", lambda: numa_node(tree, where)),
        }
    )


def hidden(tree: Tree, told: Accelerator) -> Accelerator:
    """With its identifiers as the tree shows them."""
    seen = {name: tree.identifier(value) for name in ("uuid", "serial") if (value := getattr(told, name)) is not None}
    return told.model_copy(update=seen)


def _memory(tree: Tree, where: str, otherwise: str) -> int:
    """Only the amdgpu driver tells it in sysfs."""
    if not tree.exists(f"{where}/mem_info_vram_total"):
        raise UnreadableError(otherwise)
    return tree.integer(f"{where}/mem_info_vram_total")


def numa_node(tree: Tree, where: str) -> int:
    """Of a device's folder; the kernel writes -1 where the machine has but one node or the firmware does not say."""
    if tree.line(f"{where}/numa_node") == "-1":
        raise UnreadableError("the firmware names no NUMA node for it")
    return tree.integer(f"{where}/numa_node")


def pcie_port(tree: Tree, address: str) -> PciePort:
    """Generation and width, now and at best. A device at rest may run at a lower generation to save power."""
    where = f"{PCI}/{address}"
    speeds = [_optional(tree, f"{where}/{name}", _generation) for name in ("current_link_speed", "max_link_speed")]
    widths = [_optional(tree, f"{where}/{name}", _width) for name in ("current_link_width", "max_link_width")]
    if not any((*speeds, *widths)):
        raise UnreadableError("its entry tells neither link speed nor width")
    return PciePort(generation=speeds[0], width=widths[0], max_generation=speeds[1], max_width=widths[1])


def _optional(tree: Tree, where: str, parse: Callable[[str], int | None]) -> int | None:
    try:
        return parse(tree.line(where))
    except (OSError, UnreadableError):
        return None


def _generation(text: str) -> int | None:
    """Of `16.0 GT/s PCIe`, or `16 GT/s` before Linux 5.7."""
    match = re.match(r"([0-9.]{1,5}) GT/s", text, re.ASCII)
    return GENERATIONS.get(match[1]) if match else None


def _width(text: str) -> int | None:
    """Lanes; a device without a link says 0 or 255."""
    return int(text) if re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) and 0 < int(text) <= 32 else None


def _device(tree: Tree, address: str) -> tuple[int, PciDevice]:
    """Base class, and the entry."""
    kind, vendor, device = (_hexadecimal(tree.line(f"{PCI}/{address}/{name}"), name) for name in ("class", "vendor", "device"))
    return kind >> 16, PciDevice(address, vendor, device)


def _hexadecimal(text: str, name: str) -> int:
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", text, re.ASCII):
        raise UnreadableError(f"{name} holds {text[:40]!r}, not a hexadecimal number")
    return int(text, 16)


def _computes(kind: int, device: PciDevice) -> bool:
    if device.device in NUMBERED.get(device.vendor, {}):
        return True
    return kind == PROCESSING or (kind == DISPLAY and device.vendor not in CONSOLES)


def _listed_name(tree: Tree, device: PciDevice) -> str | None:
    """The device's name in the system's pci.ids, if it has that list: `vvvv  Vendor`, then `<tab>dddd  Device` below it."""
    where = next((path for path in NAME_LISTS if tree.exists(path)), None)
    listed = tree.attempt("accelerators.pci.ids", lambda: tree.text(where)) if where else None
    inside = False
    for line in (listed or "").splitlines():
        if not line.startswith(("\t", "#")):
            inside = line.startswith(f"{device.vendor:04x} ")
        elif inside and line.startswith(f"\t{device.device:04x} "):
            return line[5:].strip()
    return None
