"""Google TPU chips by their PCI numbers (edge).

No tool is asked: `tpu-info` itself reads the same numbers. It takes the memory of a chip from a table by
generation; here that is told as published and the memory stays unknown, since no device said it.
"""

from dataclasses import dataclass

from stack.hardware_profiles.accelerators.pci import PCI, PciDevice
from stack.hardware_profiles.inventory import Accelerator
from stack.hardware_profiles.tree import Tree, UnreadableError


@dataclass(frozen=True)
class Generation:
    name: str
    hbm_gib: int


# From Google's tpu-info 0.14 (Apache-2.0), device.py: PCI device number, for v2 and v3 with that of the subsystem; memory of a chip.
V2_OR_V3 = 0x0027
SUBSYSTEMS = {0x004E: Generation("v2", 16), 0x004F: Generation("v3", 32)}
DEVICES = {
    0x005E: Generation("v4", 32),
    0x0063: Generation("v5e", 16),
    0x0062: Generation("v5p", 95),
    0x006F: Generation("v6e", 32),
    0x0076: Generation("7x", 192),
}


def identify(tree: Tree, device: PciDevice) -> tuple[Accelerator, int] | None:
    """The chip and the GiB its maker publishes for the generation (no answer of the device's); None when it is in no list."""
    generation = DEVICES.get(device.device)
    if device.device == V2_OR_V3:
        try:
            generation = SUBSYSTEMS.get(int(tree.line(f"{PCI}/{device.address}/subsystem_device"), 16))
        except (OSError, ValueError, UnreadableError):
            generation = None
    if generation is None:
        return None
    name = f"TPU {generation.name}" if generation.name.startswith("v") else f"TPU{generation.name}"
    return Accelerator(index=0, vendor="Google", source="tpu", name=name, pci_bus=device.address, architecture=generation.name), generation.hbm_gib
