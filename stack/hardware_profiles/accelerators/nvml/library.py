"""One question at a time to NVML, and its answers as Python has them (edge)."""

from collections.abc import Callable
from typing import Any, TypeVar

import pynvml

from stack.hardware_profiles.tree import UnreadableError, printable

T = TypeVar("T")

MENDS = {
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the loaded kernel module is older or newer than the library, as after an update: restart the machine, "
    "or unload and load the nvidia modules; in a container, remove a driver library that its image brings",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the library is installed and the kernel module is not loaded: modprobe nvidia",
}
"""What to do about an error whose own words do not say."""


def ask(function: Callable[..., T], *arguments: Any) -> T:
    """NVML's answer; UnreadableError with its own words, and the mend where there is one."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        raise UnreadableError(words(error)) from None
    except UnicodeDecodeError as error:
        raise UnreadableError(f"NVML: {error}") from None


def words(error: pynvml.NVMLError) -> str:
    mend = MENDS.get(error.value)
    return f"NVML: {error}" + (f" ({mend})" if mend else "")


def text(value: str | bytes) -> str:
    """Printable; UnreadableError for an empty answer, which some boards give for what was never written into them."""
    found = printable(value.decode(errors="replace") if isinstance(value, bytes) else value)
    if not found:
        raise UnreadableError("NVML: the answer is empty")
    return found


def sysfs_address(bus_id: str) -> str:
    """NVML writes the PCI domain with eight digits and capitals, sysfs with four and small letters."""
    domain, _, rest = bus_id.strip().lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def pci_address(handle: Any) -> str:
    return sysfs_address(text(ask(pynvml.nvmlDeviceGetPciInfo, handle).busId))
