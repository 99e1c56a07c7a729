"""What is in a cluster (models; no I/O). Unknown is None, and a probe of the cluster or of the node says why."""

from typing import Literal

from pydantic import Field

from stack.hardware_profiles.inventory import Frozen, Probe

SCHEMA = "stackproof.cluster-inventory/v1"


class NodeAccelerator(Frozen):
    """Accelerators of one kind on one node, under one resource name."""

    resource: str = Field(description="Extended resource or DRA driver; as in nvidia.com/gpu, gpu.nvidia.com")
    source: Literal["device-plugin", "dra", "labels", "node"] = Field(
        description="Who counts them: the device plugin, DRA resource slices, labels alone, or the node's own inventory alone (then none is offered to pods)"
    )
    vendor: str
    product: str | None
    memory_bytes: int | None = Field(description="Of one")
    driver: str | None
    partition: str | None = Field(description="Profile of a part that is offered instead of whole devices; as in mig-1g.10gb")
    devices: int | None = Field(description="Whole devices; None where parts are offered, whose number does not tell it")
    capacity: int = Field(description="Pieces the resource has: devices, parts, or places on shared devices")
    allocatable: int | None = Field(description="Pieces that pods may get now: without unhealthy ones")
    described_by: Literal["labels", "slices", "node"] | None = Field(description="Who named the product, the memory and the driver")


class SeenAccelerators(Frozen):
    """Accelerators of one kind in a node's own inventory."""

    vendor: str
    name: str | None
    memory_bytes: int | None
    driver: str | None
    count: int


class OwnInventory(Frozen):
    """What a node wrote about itself, shortened: the whole of it is in its ConfigMap."""

    collected_at: str | None
    cpu_model: str | None
    sockets: int | None
    physical_cores: int | None
    host: str | None = Field(description="Vendor and product")
    accelerators: tuple[SeenAccelerators, ...]


class Extended(Frozen):
    """An extended resource that is no accelerator we know, as in rdma/hca."""

    capacity: int
    allocatable: int | None


class ClusterNode(Frozen):
    name: str
    ready: bool | None
    unschedulable: bool = False
    roles: tuple[str, ...] = ()
    architecture: str | None = None
    operating_system: str | None = None
    kernel: str | None = None
    container_runtime: str | None = None
    kubelet: str | None = None
    instance_type: str | None = None
    region: str | None = None
    zone: str | None = None
    cpus: float | None = Field(default=None, description="Logical processors, by the kubelet")
    cpus_allocatable: float | None = None
    memory_bytes: int | None = None
    memory_allocatable_bytes: int | None = None
    storage_bytes: int | None = Field(default=None, description="Ephemeral storage of the kubelet's file system")
    accelerators: tuple[NodeAccelerator, ...] = ()
    extended: dict[str, Extended] = Field(default={}, description="By resource, or by DRA driver")
    labels: dict[str, str] = Field(default={}, description="Of discovery tools, topology and accelerators; others are left out")
    taints: tuple[str, ...] = Field(default=(), description="key=value:effect")
    conditions: tuple[str, ...] = Field(default=(), description="Those that are not as a healthy node has them, as in MemoryPressure=True")
    provider_id: str | None = Field(default=None, description="An identifier: hashed unless asked for")
    machine_id: str | None = Field(default=None, description="An identifier: hashed unless asked for")
    system_uuid: str | None = Field(default=None, description="An identifier: hashed unless asked for")
    addresses: tuple[str, ...] = Field(default=(), description="type:address; the address is an identifier: hashed unless asked for")
    own: OwnInventory | None = None


class NodeKind(Frozen):
    """Nodes that are alike in accelerators, processors, memory (within 2 %), instance type and architecture."""

    count: int
    ready: int
    architecture: str | None
    instance_type: str | None
    cpus: float | None
    least_memory_bytes: int | None
    most_memory_bytes: int | None
    accelerators: tuple[NodeAccelerator, ...] = Field(description="Of one node; `allocatable` is the sum over the kind's nodes, None if one is unknown")
    example: str = Field(description="Name of one such node")


class ClusterInventory(Frozen):
    """Everything `collect_cluster` found."""

    schema_version: str = SCHEMA
    cluster: str | None = Field(description="uid of the namespace kube-system, which names a cluster. An identifier: hashed unless asked for")
    version: str | None = Field(description="Of the API server")
    nodes: tuple[ClusterNode, ...]
    kinds: tuple[NodeKind, ...]
    unplaced_devices: int = Field(default=0, description="DRA devices that belong to no one node (fabric, network): counted nowhere else")
    warnings: tuple[str, ...] = ()
    probes: tuple[Probe, ...]

    @property
    def failures(self) -> tuple[Probe, ...]:
        return tuple(probe for probe in self.probes if not probe.ok)

    def reason(self, name: str) -> str:
        """Why the part `name` is unknown; empty when no probe says so."""
        return next((probe.reason for probe in self.failures if probe.name == name), "")
