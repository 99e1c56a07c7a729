"""Accelerators seen on the PCI bus, with or without a driver (edge)."""

from collections.abc import Collection

from stack.hardware_profiles.inventory import Accelerator
from stack.hardware_profiles.tree import Tree, UnreadableError

PCI = "sys/bus/pci/devices"
PROCESSING = 0x12  # class code of processing accelerators
DISPLAY = 0x03  # class code of display controllers
# Makers whose display controllers can compute; a board's management graphics (ASPEED, Matrox) or an emulated card is none.
VENDORS = {0x10DE: "NVIDIA", 0x1002: "AMD", 0x8086: "Intel", 0x1DA3: "Habana", 0x1AE0: "Google", 0x1D0F: "Amazon"}
NAME_LISTS = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids")


def read_pci(tree: Tree, *, known: Collection[str | None], first_index: int) -> tuple[Accelerator, ...]:
    """Accelerators on the bus that are not in `known` (PCI addresses); most of what they are stays unknown."""
    addresses = tree.attempt("accelerators.pci", lambda: tree.names(PCI)) or []
    found: list[Accelerator] = []
    for address in addresses:
        identity = None if address in known else tree.attempt(f"accelerators.pci.{address}", lambda where=address: _identity(tree, where))  # type: ignore[misc]
        if identity is not None and _is_accelerator(*identity[:2]):
            found.append(_accelerator(tree, address, identity, index=first_index + len(found)))
    return tuple(found)


def _identity(tree: Tree, address: str) -> tuple[int, int, int]:
    """Base class, vendor and device."""
    kind, vendor, device = (_hexadecimal(tree.line(f"{PCI}/{address}/{name}"), name) for name in ("class", "vendor", "device"))
    return kind >> 16, vendor, device


def _hexadecimal(text: str, name: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise UnreadableError(f"{name} holds {text[:40]!r}, not a hexadecimal number") from None


def _is_accelerator(kind: int, vendor: int) -> bool:
    return kind == PROCESSING or (kind == DISPLAY and vendor in VENDORS)


def _accelerator(tree: Tree, address: str, identity: tuple[int, int, int], *, index: int) -> Accelerator:
    _kind, vendor, device = identity
    probe = f"accelerators.{index}"
    where = f"{PCI}/{address}"
    tree.note(probe, "only its PCI entry could be read: no management library answered for it")
    return Accelerator(
        index=index,
        vendor=VENDORS.get(vendor, f"{vendor:04x}"),
        source="pci",
        name=_listed_name(tree, vendor, device) or f"PCI device {vendor:04x}:{device:04x}",
        # amdgpu alone tells it in sysfs.
        memory_bytes=tree.attempt(f"{probe}.memory_bytes", lambda: tree.integer(f"{where}/mem_info_vram_total")),
        uuid=None,
        pci_bus=address,
        driver=tree.attempt(f"{probe}.driver", lambda: tree.link_name(f"{where}/driver")),
        compute_capability=None,
        power_limit_w=None,
        max_sm_clock_mhz=None,
        ecc_enabled=None,
        mig_enabled=None,
    )


def _listed_name(tree: Tree, vendor: int, device: int) -> str | None:
    """The device's name in the system's pci.ids, if it has that list: `vvvv  Vendor`, then `<tab>dddd  Device` below it."""
    where = next((path for path in NAME_LISTS if tree.exists(path)), None)
    listed = tree.attempt("accelerators.pci.ids", lambda: tree.text(where)) if where else None
    inside = False
    for line in (listed or "").splitlines():
        if not line.startswith(("\t", "#")):
            inside = line.startswith(f"{vendor:04x} ")
        elif inside and line.startswith(f"\t{device:04x} "):
            return line[5:].strip()
    return None
