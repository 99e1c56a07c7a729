"""Node labels in the convention of GPU feature discovery, in the form of an NFD local feature file (logic).

Names: k8s-device-plugin, docs/gpu-feature-discovery/README.md. A line is `name=value`; NFD takes the file from
/etc/kubernetes/node-feature-discovery/features.d/ and puts names without a domain under
feature.node.kubernetes.io. Values follow Kubernetes: at most 63 letters, digits, `-`, `_`, `.`, alphanumeric at
both ends. What is unknown has no label.
"""

import re
from collections import Counter
from collections.abc import Sequence

from stack.hardware_profiles.inventory import Accelerator, Inventory
from stack.hardware_profiles.tree import is_hashed

MIB = 1 << 20
LONGEST = 63
PROFILE = re.compile(r"(?:([1-7])c\.)?([1-7])g\.[0-9]{1,4}gb(?:\+[a-z.]{1,8})?", re.ASCII)  # as in 1c.3g.40gb or 1g.10gb+me
MODES = {0x030000: "graphics", 0x030200: "compute"}
Labels = dict[str, str]


def node_labels(inventory: Inventory) -> Labels:
    """NVIDIA's under `nvidia.com/`; every maker's by vendor under `stackproof.accelerator-`, in NFD's own domain."""
    nvidia = [each for each in inventory.accelerators if each.source == "nvml"]
    found = {**_nvidia(nvidia, inventory), **_accelerators(inventory.accelerators)}
    return {name: value for name, value in sorted(found.items()) if value}


def feature_file(labels: Labels) -> str:
    """One line each; empty on a node without accelerators."""
    return "".join(f"{name}={value}\n" for name, value in labels.items())


def label_value(text: str | None) -> str:
    """A value that Kubernetes takes: other characters become one dash each run, as GPU feature discovery does with spaces; empty when nothing is left."""
    kept = re.sub(r"[^A-Za-z0-9_.]+", "-", text or "", flags=re.ASCII)[:LONGEST]
    return kept.strip("-_.")


def _nvidia(gpus: Sequence[Accelerator], inventory: Inventory) -> Labels:
    """Of the first model, as GPU feature discovery does on a node of several; the count is of that model's."""
    if not gpus:
        return {}
    first = gpus[0]
    alike = [each for each in gpus if each.name == first.name]
    major, _, minor = (first.compute_capability or "").partition(".")
    return {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": str(len(alike)),
        "nvidia.com/gpu.product": label_value(first.name),
        "nvidia.com/gpu.memory": _mib(first.memory_bytes),
        "nvidia.com/gpu.family": label_value((first.architecture or "").lower().replace(" ", "-")),
        "nvidia.com/gpu.compute.major": label_value(major),
        "nvidia.com/gpu.compute.minor": label_value(minor),
        "nvidia.com/gpu.machine": label_value(inventory.host.product),
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.mode": _mode(gpus),
        "nvidia.com/gpu.clique": _clique(gpus),
        "nvidia.com/mig.capable": "" if first.mig_enabled is None else "true",
        **_version("nvidia.com/cuda.driver-version", first.driver, ("major", "minor", "revision")),
        **_version("nvidia.com/cuda.runtime-version", first.cuda_version, ("major", "minor")),
        **_partitions(alike),
    }


def _mode(gpus: Sequence[Accelerator]) -> str:
    """By the PCI class that all GPUs share, as GPU feature discovery has it; none when one is unknown."""
    classes = {each.pci_class for each in gpus}
    return "" if None in classes else MODES.get(classes.pop() or 0, "unknown") if len(classes) == 1 else "unknown"


def _clique(gpus: Sequence[Accelerator]) -> str:
    """Of all GPUs alike. None when it is hashed: the key differs from node to node, so that hashes would part what belongs together."""
    cliques = {each.nvlink_clique for each in gpus}
    clique = cliques.pop() if len(cliques) == 1 else None
    return "" if clique is None or is_hashed(clique) else label_value(clique)


def _version(name: str, version: str | None, parts: tuple[str, ...]) -> Labels:
    numbers = re.fullmatch(r"[0-9]+(?:\.[0-9]+){1,3}", version or "", re.ASCII)
    if numbers is None:
        return {}
    return {f"{name}.full": numbers[0], **{f"{name}.{part}": number for part, number in zip(parts, numbers[0].split("."), strict=False)}}


def _partitions(gpus: Sequence[Accelerator]) -> Labels:
    """Per MIG profile, as the strategy `mixed` names them: `nvidia.com/mig-1g.10gb.count`."""
    counted = Counter(part.name for gpu in gpus for part in gpu.partitions)
    memory = {part.name: part.memory_bytes for gpu in gpus for part in gpu.partitions}
    found: Labels = {}
    for name, count in counted.items():
        slices = PROFILE.fullmatch(name)
        if slices is None:
            continue
        prefix = f"nvidia.com/mig-{name.replace('+', '.')}"
        found |= {
            f"{prefix}.count": str(count),
            f"{prefix}.memory": _mib(memory[name]),
            f"{prefix}.product": label_value(f"{gpus[0].name}-MIG-{name.replace('+', '.')}"),
            f"{prefix}.slices.gi": slices[2],
            f"{prefix}.slices.ci": slices[1] or slices[2],
        }
    return {"nvidia.com/mig.strategy": "mixed", **found} if found else {}


def _accelerators(found: Sequence[Accelerator]) -> Labels:
    """Count, product and memory by vendor, whoever told of them."""
    labels: Labels = {}
    for vendor in dict.fromkeys(each.vendor for each in found):
        alike = [each for each in found if each.vendor == vendor]
        prefix = f"stackproof.accelerator-{label_value(vendor).lower()}"
        labels[f"{prefix}.count"] = str(len(alike))
        # One value for the node: a node of several products has none that would be true.
        for name, values in (("product", {label_value(each.name) for each in alike}), ("memory", {_mib(each.memory_bytes) for each in alike})):
            labels[f"{prefix}.{name}"] = values.pop() if len(values) == 1 else ""
    return labels


def _mib(size: int | None) -> str:
    return "" if size is None else str(size // MIB)
