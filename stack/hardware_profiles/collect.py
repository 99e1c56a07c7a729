"""One inventory from all readers."""

from pathlib import Path

from stack.hardware_profiles.accelerators.makers import read_others
from stack.hardware_profiles.accelerators.nvml import Found, read_nvml
from stack.hardware_profiles.accelerators.pci import scan_pci
from stack.hardware_profiles.cpu import read_cpu
from stack.hardware_profiles.host import read_host
from stack.hardware_profiles.inventory import Inventory
from stack.hardware_profiles.marks import mark
from stack.hardware_profiles.memory import read_memory
from stack.hardware_profiles.network import read_network
from stack.hardware_profiles.software import read_software
from stack.hardware_profiles.storage import read_storage
from stack.hardware_profiles.tree import Tree
from stack.hardware_profiles.warnings import warnings_of

THIS_MACHINE = Path("/")


def collect_inventory(root: Path = THIS_MACHINE, *, identifiers: bool = False) -> Inventory:
    """What is in the machine whose /proc, /sys and /etc lie under `root`.

    Never raises for what it finds: an unreadable value is None and a probe says why. Management libraries are
    asked only for this machine. `identifiers` shows serials, UUIDs and MACs that are otherwise hashed.
    """
    tree = Tree(root, identifiers)
    cpu = read_cpu(tree)
    nvidia = Found()
    if root == THIS_MACHINE:
        nvidia = read_nvml(tree)
    else:
        tree.note("accelerators.nvml", "not asked: the tree is not this machine")
    gpus = nvidia.accelerators
    known = {gpu.pci_bus for gpu in gpus}
    others = [device for device in scan_pci(tree) if device.address not in known]
    found = Inventory(
        cpu=cpu,
        memory=read_memory(tree),
        storage=read_storage(tree),
        network=read_network(tree),
        host=read_host(tree, virtualized=cpu.virtualized),
        software=read_software(tree),
        accelerators=(*gpus, *read_others(tree, others, first_index=len(gpus), this_machine=root == THIS_MACHINE)),
        links=nvidia.links,
        probes=tuple(tree.probes),
    )
    return mark(found.model_copy(update={"warnings": warnings_of(found)}))
