"""Every accelerator that is not NVML's: its maker's answer where there is one, and the bus for the rest (edge)."""

from collections.abc import Callable, Sequence

from stack.hardware_profiles.accelerators import amd, gaudi, neuron, tpu
from stack.hardware_profiles.accelerators.pci import AMAZON, AMD, GOOGLE, HABANA, PciDevice, describe, hidden
from stack.hardware_profiles.inventory import Accelerator
from stack.hardware_profiles.tree import Tree

Answers = dict[str, Accelerator]


def read_others(tree: Tree, devices: Sequence[PciDevice], *, first_index: int, this_machine: bool) -> tuple[Accelerator, ...]:
    """The `devices` in order, then what a tool listed that the bus does not show (a container may hide it).

    Tools and libraries are asked only for this machine, and only when a device of their maker is on the bus.
    """
    answers = _answers(tree, {device.vendor for device in devices}) if this_machine else {}
    found: list[Accelerator] = []
    chips: set[str] = set()
    for device in devices:
        index = first_index + len(found)
        if device.vendor == GOOGLE:
            # The cores of one chip are functions of one device.
            chip = device.address.rpartition(".")[0]
            if chip not in chips:
                chips.add(chip)
                found.append(_tpu(tree, device, index))
            continue
        told = answers.pop(device.address, None)
        if device.vendor == AMD:
            told = _filled(told, amd.from_sysfs(tree, device))
        found.append(describe(tree, device, index, told))
    found += [hidden(tree, told).model_copy(update={"index": first_index + len(found) + place}) for place, told in enumerate(answers.values())]
    return tuple(found)


def _answers(tree: Tree, vendors: set[int]) -> Answers:
    """By bus address."""
    answers: Answers = {}
    if AMD in vendors:
        answers |= _ask(tree, "accelerators.amdsmi", amd.ask_library) or _ask(tree, "accelerators.amd-smi", amd.ask_tool_static)
    if HABANA in vendors:
        answers |= _ask(tree, "accelerators.pyhlml", gaudi.ask_library) or _ask(tree, "accelerators.hl-smi", gaudi.ask)
    if AMAZON in vendors:
        answers |= _ask(tree, "accelerators.neuron-ls", lambda: neuron.ask(tree))
    return answers


def _ask(tree: Tree, probe: str, ask: Callable[[], tuple[Accelerator, ...]]) -> Answers:
    return {each.pci_bus: each for each in tree.attempt(probe, ask) or () if each.pci_bus is not None}


def _filled(told: Accelerator | None, driver: Accelerator | None) -> Accelerator | None:
    """What the library or tool said, and from the kernel's driver what that left open."""
    if told is None or driver is None:
        return told or driver
    return told.model_copy(update={name: value for name, value in driver if getattr(told, name) is None})


def _tpu(tree: Tree, device: PciDevice, index: int) -> Accelerator:
    chip = tpu.identify(tree, device)
    if chip is None:
        return describe(tree, device, index)
    told, published_gib = chip
    return describe(tree, device, index, told, no_memory=f"the device does not tell it; its maker publishes {published_gib} GiB for a chip of this generation")
