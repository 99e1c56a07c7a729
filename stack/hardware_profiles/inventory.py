"""What is in a machine (models; no I/O).

A value that could not be read is None, and the probe of the same dotted name says why; an empty tuple
whose probe failed means the same. Nothing is ever guessed or set to 0.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = "stackproof.inventory/v1"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Probe(Frozen):
    """One attempt to read something; `reason` is empty when it succeeded."""

    name: str = Field(description="Dotted path of the field, or of the source, it speaks of")
    ok: bool
    reason: str = ""


class Cache(Frozen):
    """One kind of cache of the whole machine."""

    level: int
    kind: str = Field(description="data, instruction or unified")
    size_bytes: int | None = Field(description="Of one instance")
    instances: int = Field(ge=1)


class NumaNode(Frozen):
    node: int
    cpus: int | None = Field(description="Logical cores of this node")
    memory_bytes: int | None


class Cpu(Frozen):
    model: str | None
    architecture: str
    sockets: int | None
    physical_cores: int | None
    logical_cores: int | None
    allowed_cores: int | None = Field(description="Logical cores this process may run on (affinity)")
    limit_cores: float | None = Field(description="CPU time per second granted by the control group; None when it sets no limit")
    isa: tuple[str, ...] = Field(description="Instruction sets that matter to inference, in the kernel's spelling, sorted")
    caches: tuple[Cache, ...]
    numa_nodes: int | None
    virtualized: bool | None
    nodes: tuple[NumaNode, ...] = ()
    governor: str | None = Field(default=None, description="Frequency governors in use, comma-separated when cores differ")
    max_mhz: float | None = Field(default=None, description="Highest frequency that the frequency driver states")

    @property
    def usable_cores(self) -> float | None:
        """The smallest of what the machine has, may be used and is granted; None when nothing is known."""
        known = [float(cores) for cores in (self.logical_cores, self.allowed_cores, self.limit_cores) if cores is not None]
        return min(known, default=None)


class Dimm(Frozen):
    """A memory module, from the firmware's SMBIOS table (readable by root only)."""

    slot: str | None
    size_bytes: int | None
    kind: str | None = Field(description="As in DDR5")
    speed_mt_s: int | None = Field(description="Configured transfers, in millions a second")
    manufacturer: str | None
    part_number: str | None
    serial: str | None = Field(description="An identifier: hashed unless asked for")


class Memory(Frozen):
    total_bytes: int | None
    available_bytes: int | None = Field(description="The kernel's estimate of what can be used without swapping")
    limit_bytes: int | None = Field(description="Of the control group, v1 or v2; None when it sets none below the total")
    swap_bytes: int | None = None
    shared_bytes: int | None = Field(default=None, description="Size of /dev/shm, which collectives between processes need")
    locked_limit_bytes: int | None = Field(
        default=None, description="How much this process may lock (RLIMIT_MEMLOCK), which RDMA needs; None when unlimited or unknown"
    )
    dimms: tuple[Dimm, ...] = ()

    @property
    def usable_bytes(self) -> int | None:
        """The smaller of what is available and what the control group allows; None when neither is known."""
        known = [size for size in (self.available_bytes, self.limit_bytes) if size is not None]
        return min(known, default=None)


class Storage(Frozen):
    """A block device with hardware, real or emulated, behind it."""

    device: str
    model: str | None
    size_bytes: int | None
    rotational: bool | None
    transport: str | None = Field(description="nvme, sata, sas, usb, virtio, mmc or scsi")
    file_systems: tuple[str, ...] = Field(description="Types mounted straight from the device or its partitions")
    serial: str | None = Field(description="An identifier: hashed unless asked for")


class NetworkInterface(Frozen):
    name: str
    virtual: bool = Field(description="No device behind it: bridge, tunnel, container end")
    speed_mbit_s: int | None
    state: str | None = Field(description="The kernel's operational state: up, down, unknown, ...")
    driver: str | None
    address: str | None = Field(description="An identifier: hashed unless asked for")
    rdma: str | None = Field(default=None, description="InfiniBand, RoCE or iWARP, and the name of the RDMA device; None where there is none")
    virtual_functions: int | None = Field(default=None, description="SR-IOV virtual functions in use")
    max_virtual_functions: int | None = Field(default=None, description="SR-IOV virtual functions the card offers")
    numa_node: int | None = None


class Host(Frozen):
    vendor: str | None
    product: str | None
    firmware: str | None = Field(description="Vendor, version and date")
    virtualization: str | None = Field(description="kvm, vmware, hyper-v, xen, ..., or none on bare metal")
    container: str | None = Field(description="Runtime of the container this runs in, or none")
    secure_boot: bool | None
    tpm: str | None = Field(description="Version of the TPM specification")


class Driver(Frozen):
    """A loaded kernel module that drives an accelerator or its network, and its version."""

    name: str
    version: str | None


class Package(Frozen):
    """An installed Python distribution; `version` None when it is not installed."""

    name: str
    distribution: str | None
    version: str | None


class Software(Frozen):
    operating_system: str | None
    kernel: str | None
    python: str
    packages: tuple[Package, ...]
    container_runtimes: tuple[str, ...] = Field(default=(), description="Installed on the host, as in containerd 2.1.4")

    drivers: tuple[Driver, ...] = ()
    cuda: str | None = Field(default=None, description="Version of the CUDA toolkit installed on the host")
    rocm: str | None = Field(default=None, description="Version of ROCm installed on the host")

    def version(self, name: str) -> str | None:
        return next((package.version for package in self.packages if package.name == name), None)


class PciePort(Frozen):
    """How a device hangs on the bus now, and what it could do."""

    generation: int | None
    width: int | None
    max_generation: int | None
    max_width: int | None


class Partition(Frozen):
    """A part of an accelerator that works as a device of its own: a MIG instance, an AMD partition."""

    name: str = Field(description="As in 1g.10gb")
    memory_bytes: int | None
    compute_share: float | None = Field(description="Of the accelerator's compute units")
    uuid: str | None = Field(description="An identifier: hashed unless asked for")


class Accelerator(Frozen):
    """A GPU or another accelerator. `source` tells who answered for it: its maker's library or tool, or only the PCI bus."""

    index: int
    vendor: str
    source: Literal["nvml", "amdsmi", "hlml", "neuron", "tpu", "pci"]
    name: str | None = None
    memory_bytes: int | None = None
    uuid: str | None = Field(default=None, description="An identifier: hashed unless asked for")
    pci_bus: str | None = Field(default=None, description="domain:bus:device.function")
    driver: str | None = Field(default=None, description="Version by the maker's library; the bound kernel module by PCI")
    compute_capability: str | None = None
    power_limit_w: float | None = None
    max_sm_clock_mhz: int | None = None
    ecc_enabled: bool | None = None
    mig_enabled: bool | None = None
    architecture: str | None = Field(default=None, description="As in Hopper or gfx942")
    serial: str | None = Field(default=None, description="An identifier: hashed unless asked for")
    board_part_number: str | None = None
    vbios: str | None = None
    cuda_version: str | None = Field(default=None, description="The newest CUDA that the driver supports")
    default_power_limit_w: float | None = None
    min_power_limit_w: float | None = None
    max_power_limit_w: float | None = None
    max_memory_clock_mhz: int | None = None
    uncorrected_ecc_errors: int | None = Field(default=None, description="Of all memories, since the driver was loaded")
    partitions: tuple[Partition, ...] = ()
    pcie: PciePort | None = None
    numa_node: int | None = None
    confidential_computing: bool | None = None
    nvlinks_active: int | None = None
    nvlink_version: int | None = None
    nvlink_clique: str | None = Field(default=None, description="NVLink domain and clique in it. An identifier: hashed unless asked for")
    pci_class: int | None = Field(default=None, description="As in 0x030200, a 3D controller, or 0x030000, a VGA controller; of NVIDIA GPUs alone")


class Link(Frozen):
    """How two accelerators, named by their `index`, reach each other."""

    first: int
    second: int
    kind: Literal["nvlink", "nvswitch", "xgmi", "pcie"]
    count: int | None = Field(description="Parallel links; None over PCIe")
    path: str | None = Field(description="The nearest thing they share, as nvidia-smi names it: PIX, PXB, PHB, NODE or SYS; None off the bus")


class System(Frozen):
    """What no machine can tell of itself: known only by declaration, and needed in a system description."""

    name: str | None = None
    submitter: str | None = None
    division: str | None = None
    status: str | None = Field(default=None, description="As in available, preview or rdi")
    type: str | None = Field(default=None, description="datacenter, edge or both")
    type_detail: str | None = None
    nodes: int | None = Field(default=None, ge=1, description="Machines like this one in the system")
    cooling: str | None = None
    processor_interconnect: str | None = None
    memory_configuration: str | None = None
    network_topology: str | None = None
    accelerator_interconnect: str | None = None
    accelerator_interconnect_topology: str | None = None
    accelerator_memory_kind: str | None = Field(default=None, description="As in HBM3")
    accelerator_on_chip_memories: str | None = None
    other_software: str | None = None
    hardware_notes: str | None = None
    software_notes: str | None = None


Mark = Literal["detected", "declared", "unknown"]


class Inventory(Frozen):
    """Everything `collect_inventory` found on one machine."""

    schema_version: str = SCHEMA
    cpu: Cpu
    memory: Memory
    storage: tuple[Storage, ...]
    network: tuple[NetworkInterface, ...]
    host: Host
    software: Software
    accelerators: tuple[Accelerator, ...]
    links: tuple[Link, ...] = Field(default=(), description="Between accelerators of this machine, each pair once")
    warnings: tuple[str, ...] = Field(default=(), description="What was read and is likely to cost performance, each with the mend")
    system: System = System()
    marks: dict[str, Mark] = Field(default_factory=dict, description="How each value is known, by its dotted path")
    probes: tuple[Probe, ...]

    @property
    def failures(self) -> tuple[Probe, ...]:
        return tuple(probe for probe in self.probes if not probe.ok)

    def reason(self, name: str) -> str:
        """Why the field `name` is unknown; empty when no probe says so."""
        return next((probe.reason for probe in self.failures if probe.name == name), "")
