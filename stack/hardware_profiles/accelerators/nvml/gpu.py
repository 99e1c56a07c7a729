"""One GPU's fields (edge)."""

import re
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import pynvml

from stack.hardware_profiles.accelerators.nvml.library import ask, pci_address, text
from stack.hardware_profiles.accelerators.nvml.links import Ends
from stack.hardware_profiles.accelerators.nvml.partitions import read_partitions
from stack.hardware_profiles.inventory import Accelerator, PciePort
from stack.hardware_profiles.tree import Tree, UnreadableError

T = TypeVar("T")

ARCHITECTURES = {
    pynvml.NVML_DEVICE_ARCH_KEPLER: "Kepler",
    pynvml.NVML_DEVICE_ARCH_MAXWELL: "Maxwell",
    pynvml.NVML_DEVICE_ARCH_PASCAL: "Pascal",
    pynvml.NVML_DEVICE_ARCH_VOLTA: "Volta",
    pynvml.NVML_DEVICE_ARCH_TURING: "Turing",
    pynvml.NVML_DEVICE_ARCH_AMPERE: "Ampere",
    pynvml.NVML_DEVICE_ARCH_ADA: "Ada",
    pynvml.NVML_DEVICE_ARCH_HOPPER: "Hopper",
    pynvml.NVML_DEVICE_ARCH_BLACKWELL: "Blackwell",
    pynvml.NVML_DEVICE_ARCH_RUBIN: "Rubin",
}
PCIE_WIDTHS = frozenset({1, 2, 4, 8, 12, 16, 32})
"""What a link can be wide; some virtual machines tell 0 or 255."""


def read_gpu(tree: Tree, index: int, handle: Any, links: Ends) -> Accelerator:
    """What the GPU tells of itself; all unknown when there is no `handle` to ask by."""
    probe = f"accelerators.{index}"

    def field(name: str, read: Callable[[], T]) -> T | None:
        return None if handle is None else tree.attempt(f"{probe}.{name}", read)

    def of_system(name: str, read: Callable[[], T]) -> T | None:
        return tree.attempt(f"{probe}.{name}", read)

    def watts(function: Callable[..., int]) -> float:
        return ask(function, handle) / 1000

    def text_of(function: Callable[..., str]) -> str:
        return text(ask(function, handle))

    pci_bus = field("pci_bus", lambda: pci_address(handle))
    mig_enabled = field("mig_enabled", lambda: bool(ask(pynvml.nvmlDeviceGetMigMode, handle)[0]))
    return Accelerator(
        index=index,
        vendor="NVIDIA",
        source="nvml",
        name=field("name", lambda: text_of(pynvml.nvmlDeviceGetName)),
        memory_bytes=field("memory_bytes", lambda: int(ask(pynvml.nvmlDeviceGetMemoryInfo, handle).total)),
        uuid=field("uuid", lambda: tree.identifier(text_of(pynvml.nvmlDeviceGetUUID))),
        pci_bus=pci_bus,
        driver=of_system("driver", lambda: text(ask(pynvml.nvmlSystemGetDriverVersion))),
        compute_capability=field("compute_capability", lambda: "{}.{}".format(*ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle))),
        power_limit_w=field("power_limit_w", lambda: watts(pynvml.nvmlDeviceGetPowerManagementLimit)),
        max_sm_clock_mhz=field("max_sm_clock_mhz", lambda: int(ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM))),
        ecc_enabled=field("ecc_enabled", lambda: bool(ask(pynvml.nvmlDeviceGetEccMode, handle)[0])),
        mig_enabled=mig_enabled,
        architecture=field("architecture", lambda: architecture(ask(pynvml.nvmlDeviceGetArchitecture, handle))),
        serial=field("serial", lambda: tree.identifier(text_of(pynvml.nvmlDeviceGetSerial))),
        board_part_number=field("board_part_number", lambda: text_of(pynvml.nvmlDeviceGetBoardPartNumber)),
        vbios=field("vbios", lambda: text_of(pynvml.nvmlDeviceGetVbiosVersion)),
        cuda_version=of_system("cuda_version", lambda: cuda_version(ask(pynvml.nvmlSystemGetCudaDriverVersion_v2))),
        default_power_limit_w=field("default_power_limit_w", lambda: watts(pynvml.nvmlDeviceGetPowerManagementDefaultLimit)),
        min_power_limit_w=field("min_power_limit_w", lambda: ask(pynvml.nvmlDeviceGetPowerManagementLimitConstraints, handle)[0] / 1000),
        max_power_limit_w=field("max_power_limit_w", lambda: ask(pynvml.nvmlDeviceGetPowerManagementLimitConstraints, handle)[1] / 1000),
        max_memory_clock_mhz=field("max_memory_clock_mhz", lambda: int(ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM))),
        uncorrected_ecc_errors=field("uncorrected_ecc_errors", lambda: _uncorrected(handle)),
        partitions=read_partitions(tree, probe, handle) if mig_enabled else (),
        pcie=None if handle is None else _pcie(tree, probe, handle, pci_bus),
        numa_node=None if pci_bus is None else tree.attempt(f"{probe}.numa_node", lambda: tree.integer(f"sys/bus/pci/devices/{pci_bus}/numa_node")),
        confidential_computing=of_system("confidential_computing", _confidential),
        nvlinks_active=links.active,
        nvlink_version=links.version,
        nvlink_clique=field("nvlink_clique", lambda: tree.identifier(_clique(handle))),
        pci_class=None if pci_bus is None else tree.attempt(f"{probe}.pci_class", lambda: _pci_class(tree.line(f"sys/bus/pci/devices/{pci_bus}/class"))),
    )


def architecture(number: int) -> str:
    """By NVML's number of it."""
    if number not in ARCHITECTURES:
        raise UnreadableError(f"NVML: architecture number {number} is not one that this version knows")
    return ARCHITECTURES[number]


def cuda_version(number: int) -> str:
    """NVML tells 1000 x major + 10 x minor."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _uncorrected(handle: Any) -> int:
    return int(ask(pynvml.nvmlDeviceGetTotalEccErrors, handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC))


def _clique(handle: Any) -> str:
    """The domain's identifier and the number of the clique in it, joined as GPU feature discovery joins them."""
    fabric = pynvml.c_nvmlGpuFabricInfo_v2_t()
    ask(pynvml.nvmlDeviceGetGpuFabricInfoV, handle, pynvml.byref(fabric))
    domain = uuid.UUID(bytes=bytes(fabric.clusterUuid))
    if fabric.state != pynvml.NVML_GPU_FABRIC_STATE_COMPLETED or fabric.status != pynvml.NVML_SUCCESS or not domain.int:
        raise UnreadableError("NVML: the GPU is in no NVLink domain of several nodes, or its fabric is not ready")
    return f"{domain}.{fabric.cliqueId}"


def _pci_class(text: str) -> int:
    if not re.fullmatch(r"0x[0-9a-fA-F]{6}", text, re.ASCII):
        raise UnreadableError(f"class holds {text[:40]!r}, not a PCI class")
    return int(text, 16)


def _confidential() -> bool:
    return bool(ask(pynvml.nvmlSystemGetConfComputeState).ccFeature == pynvml.NVML_CC_SYSTEM_FEATURE_ENABLED)


def _pcie(tree: Tree, probe: str, handle: Any, pci_bus: str | None) -> PciePort | None:
    """The link now, and what the device itself could do, whatever the slot allows."""

    def field(name: str, function: Callable[..., int]) -> int | None:
        return tree.attempt(f"{probe}.pcie.{name}", lambda: int(ask(function, handle)))

    port = PciePort(
        generation=field("generation", pynvml.nvmlDeviceGetCurrPcieLinkGeneration),
        width=field("width", pynvml.nvmlDeviceGetCurrPcieLinkWidth),
        max_generation=field("max_generation", pynvml.nvmlDeviceGetGpuMaxPcieLinkGeneration),
        # NVML tells the smaller of what device and slot allow; sysfs tells the device's own.
        max_width=_own_width(tree, pci_bus) or field("max_width", pynvml.nvmlDeviceGetMaxPcieLinkWidth),
    )
    return port if any(value is not None for value in port.model_dump().values()) else None


def _own_width(tree: Tree, pci_bus: str | None) -> int | None:
    try:
        width = tree.integer(f"sys/bus/pci/devices/{pci_bus}/max_link_width")
    except (OSError, UnreadableError):
        return None
    return width if width in PCIE_WIDTHS else None
