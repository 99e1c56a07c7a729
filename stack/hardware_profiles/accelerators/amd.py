"""AMD GPUs by the `amdsmi` package, else the tool `amd-smi`, else the amdgpu driver's sysfs entries (edge).

The package and the tool ask the same library, so both are brought to the tool's form and read by one parser.
"""

import contextlib
import importlib
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from stack.hardware_profiles.accelerators.answers import bus_address, number, part, size, text, whole
from stack.hardware_profiles.accelerators.pci import PCI, PciDevice
from stack.hardware_profiles.accelerators.tools import ask_tool
from stack.hardware_profiles.inventory import Accelerator
from stack.hardware_profiles.tree import Tree, UnreadableError

T = TypeVar("T")

KFD = "sys/class/kfd/kfd/topology/nodes"
MODULE_VERSION = "sys/module/amdgpu/version"
MICRO = 1_000_000
NO_SERIALS = frozenset(("0x0000000000000000", "0x0", "0"))


def ask_tool_static() -> tuple[Accelerator, ...]:
    """What `amd-smi static --json` says of every GPU."""
    return parse_static(ask_tool(("amd-smi", "static", "--json")))


def parse_static(answer: str) -> tuple[Accelerator, ...]:
    """A list of GPUs, or since ROCm 7 a mapping with that list as `gpu_data`. UnreadableError when none has a bus address."""
    # A warning may stand before the document.
    start = min((place for place in (answer.find("["), answer.find("{")) if place >= 0), default=-1)
    try:
        found = json.loads(answer[start:]) if start >= 0 else None
    except (ValueError, RecursionError):
        raise UnreadableError("amd-smi printed no JSON") from None
    listed = part(found, "gpu_data") if isinstance(found, Mapping) else found
    gpus = tuple(each for each in map(_gpu, listed if isinstance(listed, list) else []) if each is not None)
    if not gpus:
        raise UnreadableError("amd-smi listed no GPU with a bus address")
    return gpus


def ask_library() -> tuple[Accelerator, ...]:
    """By the `amdsmi` package, when it is installed with its library libamd_smi."""
    # Without the library the package prints to stdout and then fails on its first name, with KeyError.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            amdsmi = importlib.import_module("amdsmi")
            amdsmi.amdsmi_init()
        except ImportError:
            raise UnreadableError("the package amdsmi is not installed") from None
        except Exception as error:  # it raises its own, OSError, KeyError, AttributeError
            raise UnreadableError(f"the package amdsmi cannot use its library libamd_smi: {type(error).__name__}: {str(error)[:120]}") from None
        try:
            handles = _call(amdsmi.amdsmi_get_processor_handles) or []
            gpus = tuple(each for each in (_gpu(_static(amdsmi, handle)) for handle in handles) if each is not None)
        finally:
            _call(amdsmi.amdsmi_shut_down)
    if not gpus:
        raise UnreadableError("amdsmi listed no GPU with a bus address")
    return gpus


def _call(function: Callable[..., T], *arguments: Any) -> T | None:
    """Its answer; None for a question that the library or this GPU does not know."""
    try:
        return function(*arguments)
    except Exception:  # the package's exceptions share no base of its own; each question fails alone
        return None


def _static(amdsmi: Any, handle: object) -> dict[str, Any]:
    """One GPU in the form of `amd-smi static --json`: memory in MB, power in W (the library: micro-watts)."""

    def ask(name: str) -> Any:
        return _call(getattr(amdsmi, name, None) or _absent, handle)

    cap = ask("amdsmi_get_power_cap_info")
    watts = {
        key: {"value": value / MICRO, "unit": "W"}
        for key in ("power_cap", "default_power_cap", "min_power_cap", "max_power_cap")
        if (value := number(part(cap, key))) is not None
    }
    return {
        "asic": ask("amdsmi_get_gpu_asic_info"),
        "bus": {"bdf": ask("amdsmi_get_gpu_device_bdf")},
        "vbios": ask("amdsmi_get_gpu_vbios_info"),
        "board": ask("amdsmi_get_gpu_board_info"),
        "driver": {"version": part(ask("amdsmi_get_gpu_driver_info"), "driver_version")},
        "vram": {"size": {"value": part(ask("amdsmi_get_gpu_vram_info"), "vram_size"), "unit": "MB"}},
        "limit": {
            "socket_power": watts.get("power_cap"),
            "default_power": watts.get("default_power_cap"),
            "min_power": watts.get("min_power_cap"),
            "max_power": watts.get("max_power_cap"),
        },
        "numa": {"node": ask("amdsmi_topo_get_numa_node_number")},
        "uuid": ask("amdsmi_get_gpu_device_uuid"),
    }


def _absent(*_arguments: object) -> None:
    return None


def _gpu(entry: object) -> Accelerator | None:
    """From one GPU's mapping; None without a bus address."""
    address = bus_address(part(entry, "bus", "bdf"))
    if address is None:
        return None
    serial = text(part(entry, "asic", "asic_serial"))
    return Accelerator(
        index=whole(part(entry, "gpu")) or 0,
        vendor="AMD",
        source="amdsmi",
        name=text(part(entry, "asic", "market_name")),
        pci_bus=address,
        uuid=text(part(entry, "uuid")),
        serial=None if serial in NO_SERIALS else serial,
        memory_bytes=size(part(entry, "vram", "size"), unit="MB"),
        driver=text(part(entry, "driver", "version")),
        architecture=text(part(entry, "asic", "target_graphics_version")),
        board_part_number=text(part(entry, "board", "model_number")),
        # Newer releases call the firmware image `ifwi`.
        vbios=text(part(entry, "vbios", "version")) or text(part(entry, "ifwi", "version")),
        power_limit_w=_limit(entry, "socket_power"),
        default_power_limit_w=_limit(entry, "default_power"),
        min_power_limit_w=_limit(entry, "min_power"),
        max_power_limit_w=_limit(entry, "max_power"),
        numa_node=whole(part(entry, "numa", "node")),
    )


def _limit(entry: object, name: str) -> float | None:
    """Watts; newer releases nest them by power-tracking controller as `ppt0`. A limit of 0 is only sensible for the least."""
    found = number(part(entry, "limit", name))
    if found is None:
        found = number(part(entry, "limit", "ppt0", f"{name}_limit"))
    return found if found or name == "min_power" else None


def from_sysfs(tree: Tree, device: PciDevice) -> Accelerator | None:
    """What the amdgpu driver tells without library or tool; None when it does not drive the device."""
    where = f"{PCI}/{device.address}"
    if not tree.exists(f"{where}/mem_info_vram_total"):
        return None
    folder = next((f"{where}/hwmon/{name}" for name in _quietly(lambda: tree.names(f"{where}/hwmon")) or []), None)

    def watts(name: str) -> float | None:
        micro = _quietly(lambda: tree.integer(f"{folder}/{name}")) if folder else None
        return None if micro is None else micro / MICRO

    return Accelerator(
        index=0,
        vendor="AMD",
        source="pci",
        name=_quietly(lambda: tree.line(f"{where}/product_name")),
        pci_bus=device.address,
        serial=_quietly(lambda: tree.line(f"{where}/unique_id")),
        driver=_quietly(lambda: f"amdgpu {tree.line(MODULE_VERSION)}"),
        architecture=_architecture(tree, device.address),
        board_part_number=_quietly(lambda: tree.line(f"{where}/product_number")),
        vbios=_quietly(lambda: tree.line(f"{where}/vbios_version")),
        power_limit_w=watts("power1_cap"),
        default_power_limit_w=watts("power1_cap_default"),
        min_power_limit_w=watts("power1_cap_min"),
        max_power_limit_w=watts("power1_cap_max"),
        max_sm_clock_mhz=_top_clock(tree, f"{where}/pp_dpm_sclk"),
        max_memory_clock_mhz=_top_clock(tree, f"{where}/pp_dpm_mclk"),
    )


def _quietly(read: Callable[[], T]) -> T | None:
    """For what only some cards and kernels offer."""
    try:
        return read()
    except (OSError, UnreadableError):
        return None


def _top_clock(tree: Tree, where: str) -> int | None:
    """The highest of lines like `1: 2100Mhz *`."""
    lines = _quietly(lambda: tree.text(where)) or ""
    return max((int(found) for found in re.findall(r"^[0-9]{1,2}: ([0-9]{1,5})Mhz", lines, re.MULTILINE | re.ASCII)), default=None)


def _architecture(tree: Tree, address: str) -> str | None:
    """As in gfx942, from the compute driver's node of the same bus address."""
    for node in _quietly(lambda: tree.names(KFD)) or []:
        content = _quietly(lambda where=node: tree.text(f"{KFD}/{where}/properties")) or ""  # type: ignore[misc]
        properties = {
            row[0]: int(row[1]) for row in (line.split() for line in content.splitlines()) if len(row) == 2 and re.fullmatch(r"[0-9]{1,20}", row[1], re.ASCII)
        }
        version = properties.get("gfx_target_version", 0)
        if version and kfd_address(properties.get("domain", 0), properties.get("location_id", -1)) == address:
            return graphics_version(version)
    return None


def kfd_address(domain: int, location: int) -> str:
    """A location holds bus, device and function in 16 bits."""
    return f"{domain:04x}:{(location >> 8) & 0xFF:02x}:{(location >> 3) & 0x1F:02x}.{location & 7}"


def graphics_version(version: int) -> str:
    """90402 is gfx942 and 90010 gfx90a: two decimal digits each for minor and stepping, the stepping shown in hexadecimal."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
