"""One node of the API as a `ClusterNode` (logic)."""

import hashlib
import hmac
from collections.abc import Callable, Mapping

from stack.hardware_profiles.cluster.accelerators import read_resources
from stack.hardware_profiles.cluster.inventory import ClusterNode
from stack.hardware_profiles.cluster.quantity import parse_quantity, whole
from stack.hardware_profiles.cluster.wire import Condition, Node, NodeInfo, NodeSpec, NodeStatus, Taint
from stack.hardware_profiles.tree import DIGEST_DIGITS

KEPT_LABELS = (
    "nvidia.com/",
    "feature.node.kubernetes.io/",
    "topology.kubernetes.io/",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "amd.com/gpu",
    "habana.ai/",
    "gpu.intel.com/",
    "aws.amazon.com/neuron",
    "cloud.google.com/gke-accelerator",
    "cloud.google.com/gke-gpu",
    "cloud.google.com/gke-tpu",
    "cloud.google.com/gke-max-shared-clients-per-gpu",
)
"""Prefixes. The rest is bookkeeping of installers and of the site, and may name people and projects."""
FABRIC_IDS = {"nvidia.com/gpu.clique", "nvidia.com/gpu.imex-domain"}
"""Labels whose value is a UUID of the NVLink fabric, or a hash of addresses."""
ROLE = "node-role.kubernetes.io/"
Identify = Callable[[str], str]


def identifier(key: bytes, *, shown: bool) -> Identify:
    """What is written for an identifier: itself when `shown`, else its keyed hash in the form of the machine's inventory."""
    if shown:
        return lambda value: value
    return lambda value: "hmac:" + hmac.new(key, value.encode(), hashlib.sha256).hexdigest()[:DIGEST_DIGITS]


def read_node(node: Node, identify: Identify) -> ClusterNode:
    """Everything but DRA devices and the node's own inventory; a field the API left out is None or empty."""
    labels, spec, status = node.metadata.labels or {}, node.spec or NodeSpec(), node.status or NodeStatus()
    capacity, allocatable, info = status.capacity or {}, status.allocatable or {}, status.node_info or NodeInfo()
    accelerators, extended = read_resources(capacity, allocatable, labels)
    ready, conditions = _conditions(status.conditions or [])
    return ClusterNode(
        name=node.metadata.name,
        ready=ready,
        unschedulable=bool(spec.unschedulable),
        roles=tuple(sorted(name.removeprefix(ROLE) for name in labels if name.startswith(ROLE))),
        architecture=info.architecture or labels.get("kubernetes.io/arch"),
        operating_system=info.os_image or None,
        kernel=info.kernel_version or None,
        container_runtime=info.container_runtime_version or None,
        kubelet=info.kubelet_version or None,
        instance_type=labels.get("node.kubernetes.io/instance-type") or labels.get("beta.kubernetes.io/instance-type"),
        region=labels.get("topology.kubernetes.io/region") or labels.get("failure-domain.beta.kubernetes.io/region"),
        zone=labels.get("topology.kubernetes.io/zone") or labels.get("failure-domain.beta.kubernetes.io/zone"),
        cpus=_cores(capacity.get("cpu")),
        cpus_allocatable=_cores(allocatable.get("cpu")),
        memory_bytes=whole(capacity.get("memory")),
        memory_allocatable_bytes=whole(allocatable.get("memory")),
        storage_bytes=whole(capacity.get("ephemeral-storage")),
        accelerators=accelerators,
        extended=extended,
        labels=_kept(labels, identify),
        taints=tuple(_taint(taint) for taint in spec.taints or []),
        conditions=conditions,
        provider_id=identify(spec.provider_id) if spec.provider_id else None,
        machine_id=identify(info.machine_id) if info.machine_id else None,
        system_uuid=identify(info.system_uuid) if info.system_uuid else None,
        # The address of type Hostname is the node's name again on most clusters; as an address it is hashed like the others.
        addresses=tuple(f"{address.type}:{identify(address.address)}" for address in status.addresses or []),
    )


def _kept(labels: Mapping[str, str], identify: Identify) -> dict[str, str]:
    return {name: identify(value) if name in FABRIC_IDS else value for name, value in sorted(labels.items()) if name.startswith(KEPT_LABELS)}


def _conditions(found: list[Condition]) -> tuple[bool | None, tuple[str, ...]]:
    """Ready, and every condition that a healthy node does not have: Ready is True there, all others are False."""
    by_type = {condition.type: condition.status for condition in found}
    odd = tuple(f"{name}={status}" for name, status in by_type.items() if status != ("True" if name == "Ready" else "False"))
    return (by_type["Ready"] == "True" if "Ready" in by_type else None), odd


def _cores(text: str | None) -> float | None:
    found = None if text is None else parse_quantity(text)
    return None if found is None else float(found)


def _taint(taint: Taint) -> str:
    return f"{taint.key}{f'={taint.value}' if taint.value else ''}:{taint.effect}"
