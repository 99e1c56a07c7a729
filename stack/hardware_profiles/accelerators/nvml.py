"""NVIDIA GPUs by the management library NVML, through `pynvml` of nvidia-ml-py (edge).

Every field fails alone: a GPU that fell off the bus, or a question its driver does not know, costs that
answer and no other.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import pynvml

from stack.hardware_profiles.inventory import Accelerator
from stack.hardware_profiles.tree import Tree, UnreadableError

T = TypeVar("T")


def read_nvml(tree: Tree) -> tuple[Accelerator, ...]:
    """All GPUs the library counts, also those that no longer answer."""
    if tree.attempt("accelerators.nvml", lambda: _ask(pynvml.nvmlInit) or True) is None:
        return ()
    try:
        count = tree.attempt("accelerators.nvml.count", lambda: _ask(pynvml.nvmlDeviceGetCount)) or 0
        driver = tree.attempt("accelerators.nvml.driver", lambda: _ask(pynvml.nvmlSystemGetDriverVersion)) if count else None
        return tuple(_gpu(tree, index, driver) for index in range(count))
    finally:
        tree.attempt("accelerators.nvml.shutdown", lambda: _ask(pynvml.nvmlShutdown))


def _ask(function: Callable[..., T], *arguments: Any) -> T:
    """NVML's answer; UnreadableError with its own words otherwise."""
    try:
        return function(*arguments)
    except (pynvml.NVMLError, UnicodeDecodeError) as error:
        raise UnreadableError(f"NVML: {error}") from None


def _gpu(tree: Tree, index: int, driver: str | None) -> Accelerator:
    probe = f"accelerators.{index}"
    handle = tree.attempt(probe, lambda: _ask(pynvml.nvmlDeviceGetHandleByIndex, index))

    def field(name: str, read: Callable[[], T]) -> T | None:
        return None if handle is None else tree.attempt(f"{probe}.{name}", read)

    return Accelerator(
        index=index,
        vendor="NVIDIA",
        source="nvml",
        name=field("name", lambda: _text(_ask(pynvml.nvmlDeviceGetName, handle))),
        memory_bytes=field("memory_bytes", lambda: int(_ask(pynvml.nvmlDeviceGetMemoryInfo, handle).total)),
        uuid=field("uuid", lambda: tree.identifier(_text(_ask(pynvml.nvmlDeviceGetUUID, handle)))),
        pci_bus=field("pci_bus", lambda: sysfs_address(_text(_ask(pynvml.nvmlDeviceGetPciInfo, handle).busId))),
        driver=driver,
        compute_capability=field("compute_capability", lambda: "{}.{}".format(*_ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle))),
        power_limit_w=field("power_limit_w", lambda: _ask(pynvml.nvmlDeviceGetPowerManagementLimit, handle) / 1000),
        max_sm_clock_mhz=field("max_sm_clock_mhz", lambda: int(_ask(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM))),
        ecc_enabled=field("ecc_enabled", lambda: bool(_ask(pynvml.nvmlDeviceGetEccMode, handle)[0])),
        mig_enabled=field("mig_enabled", lambda: bool(_ask(pynvml.nvmlDeviceGetMigMode, handle)[0])),
    )


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def sysfs_address(bus_id: str) -> str:
    """NVML writes the PCI domain with eight digits and capitals, sysfs with four and small letters."""
    domain, _, rest = bus_id.strip().lower().partition(":")
    return f"{domain[-4:]}:{rest}"
