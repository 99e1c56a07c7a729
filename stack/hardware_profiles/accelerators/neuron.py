"""AWS Inferentia and Trainium by `neuron-ls` and the Neuron driver's sysfs entries (edge: one command and a few files).

`neuron-ls` names no product; the driver does, by the tool's device number.
"""

import json
from collections.abc import Mapping

from stack.hardware_profiles.accelerators.answers import bus_address, part, text, whole
from stack.hardware_profiles.accelerators.tools import ask_tool
from stack.hardware_profiles.inventory import Accelerator
from stack.hardware_profiles.tree import Tree, UnreadableError

# Releases from 2.34 on have the second form and not the first.
QUESTIONS = (("neuron-ls", "--json-output"), ("neuron-ls", "--output-format", "json"))
DRIVER = "sys/devices/virtual/neuron_device"
DRIVER_VERSION = "sys/module/neuron/version"


def ask(tree: Tree) -> tuple[Accelerator, ...]:
    """All Neuron devices that the tool lists, with the driver's name for each."""
    try:
        answer = ask_tool(QUESTIONS[0])
    except UnreadableError as error:
        if "status" not in str(error):
            raise
        answer = ask_tool(QUESTIONS[1])
    version = _line(tree, DRIVER_VERSION)
    return tuple(_named(tree, each, version) for each in parse(answer))


def parse(answer: str) -> tuple[Accelerator, ...]:
    """`index` is the tool's device number. A list of devices, or a mapping that holds one; memory is in bytes."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        raise UnreadableError("neuron-ls printed no JSON") from None
    listed = found if isinstance(found, list) else next((value for value in found.values() if _is_listing(value)), None) if isinstance(found, Mapping) else None
    devices = tuple(each for each in map(_device, listed or []) if each is not None)
    if not devices:
        raise UnreadableError("neuron-ls listed no device")
    return devices


def _is_listing(value: object) -> bool:
    return isinstance(value, list) and any(part(each, "neuron_device") is not None for each in value)


def _device(entry: object) -> Accelerator | None:
    number, address = whole(part(entry, "neuron_device")), bus_address(part(entry, "bdf"))
    if number is None or address is None:
        return None
    return Accelerator(
        index=number,
        vendor="AWS",
        source="neuron",
        pci_bus=address,
        memory_bytes=whole(part(entry, "memory_size")) or None,
        numa_node=whole(part(entry, "numa_node")),
    )


def _named(tree: Tree, device: Accelerator, version: str | None) -> Accelerator:
    folder = f"{DRIVER}/neuron{device.index}/info/architecture"
    return device.model_copy(update={"name": _line(tree, f"{folder}/device_name"), "architecture": _line(tree, f"{folder}/arch_type"), "driver": version})


def _line(tree: Tree, where: str) -> str | None:
    try:
        return text(tree.line(where))
    except (OSError, UnreadableError):
        return None
