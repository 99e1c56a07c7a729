"""Which accelerators a node has: from its extended resources and the labels of discovery tools (logic).

A resource counts pieces, which are not always devices. Three ways to count wrongly are known and handled: time-sliced or MPS-shared GPUs
(every place on a GPU is a piece), MIG devices under the plain name (strategy `single`: labels speak of the parts, too), and Neuron, whose
cores and devices are two resources over the same hardware.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stack.hardware_profiles.cluster.inventory import Extended, NodeAccelerator
from stack.hardware_profiles.cluster.quantity import whole

MIB = 1 << 20
GIB = 1 << 30
NATIVE = re.compile(r"cpu|memory|pods|ephemeral-storage|storage|hugepages-.*|attachable-volumes-.*")
MIG_RESOURCE = re.compile(r"nvidia\.com/(mig-[0-9a-z.+-]+)")
MIG_IN_PRODUCT = re.compile(r"(?P<product>.+)-MIG-(?P<profile>[0-9]+g\.[0-9]+gb.*)")
PARTS = {"aws.amazon.com/neuroncore": "neuroncore"}
"""Resources whose pieces are always parts of a device."""
VENDORS = {
    "nvidia.com/gpu": "NVIDIA",
    "nvidia.com/gpu.shared": "NVIDIA",
    "amd.com/gpu": "AMD",
    "habana.ai/gaudi": "Intel Gaudi",
    "gpu.intel.com/i915": "Intel",
    "gpu.intel.com/xe": "Intel",
    "aws.amazon.com/neuron": "AWS",
    "aws.amazon.com/neurondevice": "AWS",
    "aws.amazon.com/neuroncore": "AWS",
    "google.com/tpu": "Google",
}
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Described:
    """What labels say of one resource."""

    product: str | None = None
    memory_bytes: int | None = None
    driver: str | None = None
    partition: str | None = None
    devices: int | None = None
    places: int = 1
    """Pieces on one device, where it is shared."""


def read_resources(capacity: Mapping[str, str], allocatable: Mapping[str, str], labels: Labels) -> tuple[tuple[NodeAccelerator, ...], dict[str, Extended]]:
    """Accelerators and the other extended resources of a node."""
    accelerators, others = [], {}
    for name in sorted(capacity):
        pieces, free = whole(capacity[name]), whole(allocatable.get(name))
        if "/" not in name or NATIVE.fullmatch(name) or pieces is None:
            continue
        if name not in VENDORS and not MIG_RESOURCE.fullmatch(name):
            others[name] = Extended(capacity=pieces, allocatable=free)
        elif found := _accelerator(name, pieces, free, labels):
            accelerators.append(found)
    if not any(each.vendor == "NVIDIA" for each in accelerators) and (told := _accelerator("nvidia.com/gpu", 0, 0, labels)):
        accelerators.append(told)
    return tuple(_without_second_views(accelerators)), others


def _accelerator(name: str, pieces: int, free: int | None, labels: Labels) -> NodeAccelerator | None:
    """None when there is nothing: a plugin that found no device, or has gone, leaves a resource of 0."""
    known = _describe(name, labels)
    devices = None if known.partition else known.devices if known.devices is not None else pieces // known.places
    if pieces == 0 and not devices:
        return None
    return NodeAccelerator(
        resource=name,
        source="device-plugin" if pieces else "labels",
        vendor=VENDORS.get(name, "NVIDIA"),
        product=known.product,
        memory_bytes=known.memory_bytes,
        driver=known.driver,
        partition=known.partition,
        devices=devices,
        capacity=pieces,
        allocatable=free,
        described_by="labels" if known.product or known.memory_bytes or known.driver else None,
    )


def _describe(name: str, labels: Labels) -> Described:
    if name.startswith("nvidia.com/"):
        return _nvidia(name, labels)
    if name == "amd.com/gpu":
        return Described(
            product=_spaced(_first(labels, "amd.com/gpu.product-name", "beta.amd.com/gpu.product-name")),
            memory_bytes=_gib(_first(labels, "amd.com/gpu.vram", "beta.amd.com/gpu.vram")),
            driver=_first(labels, "amd.com/gpu.driver-version"),
        )
    if name == "google.com/tpu":
        return Described(product=labels.get("cloud.google.com/gke-tpu-accelerator"))
    if name in PARTS:
        return Described(partition=PARTS[name])
    return Described()


def _nvidia(name: str, labels: Labels) -> Described:
    driver = _driver(labels)
    if mig := MIG_RESOURCE.fullmatch(name):
        prefix = f"nvidia.com/{mig[1]}"
        product = labels.get(f"{prefix}.product", "").partition("-MIG-")[0] or None
        return Described(product, _mib(labels.get(f"{prefix}.memory")), driver, mig[1])
    product = labels.get("nvidia.com/gpu.product", "").removesuffix("-SHARED")
    memory = _mib(labels.get("nvidia.com/gpu.memory"))
    if single := MIG_IN_PRODUCT.fullmatch(product):
        return Described(single["product"], memory, driver, f"mig-{single['profile']}")
    # GKE has a plugin and labels of its own.
    if size := labels.get("cloud.google.com/gke-gpu-partition-size"):
        return Described(labels.get("cloud.google.com/gke-accelerator"), memory, driver, f"mig-{size}")
    places = whole(_first(labels, "nvidia.com/gpu.replicas", "cloud.google.com/gke-max-shared-clients-per-gpu")) or 1
    return Described(
        product=product or labels.get("cloud.google.com/gke-accelerator"),
        memory_bytes=memory,
        driver=driver,
        devices=whole(labels.get("nvidia.com/gpu.count")),
        places=places,
    )


def _driver(labels: Labels) -> str | None:
    """The labels of today, else the deprecated ones."""
    if full := labels.get("nvidia.com/cuda.driver-version.full"):
        return full
    return ".".join(part for part in (labels.get(f"nvidia.com/cuda.driver.{name}") for name in ("major", "minor", "rev")) if part) or None


def _without_second_views(found: list[NodeAccelerator]) -> list[NodeAccelerator]:
    """`neurondevice` is the old name of `neuron`, and both of the hardware that `neuroncore` divides; one of them counts devices."""
    names = {each.resource for each in found}
    if "aws.amazon.com/neuron" not in names:
        return found
    return [each for each in found if each.resource != "aws.amazon.com/neurondevice"]


def _first(labels: Labels, *names: str) -> str | None:
    return next((labels[name] for name in names if labels.get(name)), None)


def _spaced(text: str | None) -> str | None:
    """A label holds no spaces; AMD's labeller writes underscores."""
    return text.replace("_", " ") if text else None


def _mib(text: str | None) -> int | None:
    """GPU feature discovery's memory is in MiB."""
    found = whole(text)
    return found * MIB if found else None


def _gib(text: str | None) -> int | None:
    """AMD's labeller rounds to GiB and writes `192G`."""
    match = re.fullmatch(r"([0-9]{1,6})G", text or "", re.ASCII)
    return int(match[1]) * GIB if match and int(match[1]) else None
