"""Intel Gaudi by the package `pyhlml`, else by its tool `hl-smi` (edge: a library or one command; the rest is a parser)."""

import contextlib
import csv
import importlib
import io
from collections.abc import Callable
from typing import Any

from stack.hardware_profiles.accelerators.answers import bus_address, number, size, text
from stack.hardware_profiles.accelerators.tools import ask_tool
from stack.hardware_profiles.inventory import Accelerator
from stack.hardware_profiles.tree import UnreadableError

COLUMNS = ("index", "name", "bus_id", "driver_version", "uuid", "serial", "memory.total", "power.max")
# What every release knows: a release that lacks one column refuses the whole question.
OLD_COLUMNS = ("index", "name", "bus_id", "driver_version", "uuid", "memory.total")
FAMILIES = {"HL-1": "Goya", "HL-20": "Gaudi", "HL-22": "Gaudi 2", "HL-28": "Gaudi 2", "HL-32": "Gaudi 3", "HL-33": "Gaudi 3"}


def ask_library() -> tuple[Accelerator, ...]:
    """By `pyhlml`, when it is installed with its library libhlml."""
    # Without the library the package prints to stdout before it raises.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            hlml = importlib.import_module("pyhlml.main")
            hlml.hlmlInit()
        except ImportError:
            raise UnreadableError("the package pyhlml is not installed") from None
        except Exception as error:  # its errors derive from Exception alone
            raise UnreadableError(f"the package pyhlml cannot use its library libhlml: {type(error).__name__}: {str(error)[:120]}") from None
        try:
            # One by one: the package keeps a single handle, which the next question for one overwrites.
            found = [_from_library(hlml, index) for index in range(_call(hlml.hlmlDeviceGetCount) or 0)]
        finally:
            _call(hlml.hlmlShutdown)
    devices = tuple(each for each in found if each is not None)
    if not devices:
        raise UnreadableError("pyhlml listed no device with a bus address")
    return devices


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Its answer; None for a question that the library or this device does not know."""
    try:
        return function(*arguments)
    except Exception:  # each question fails alone
        return None


def _from_library(hlml: Any, index: int) -> Accelerator | None:
    """Text comes as bytes, memory in bytes, power in milliwatts."""
    handle = _call(hlml.hlmlDeviceGetHandleByIndex, index)

    def words(name: str, *arguments: Any) -> str | None:
        value = _call(getattr(hlml, name, _absent), *arguments)
        return text(value.decode(errors="replace") if isinstance(value, bytes) else value)

    bus = getattr(_call(hlml.hlmlDeviceGetPCIInfo, handle), "bus_id", None)
    milliwatts = number(_call(getattr(hlml, "hlmlDeviceGetPowerManagementDefaultLimit", _absent), handle))
    row = {
        "bus_id": bus.decode(errors="replace") if isinstance(bus, bytes) else "",
        "name": words("hlmlDeviceGetName", handle) or "",
        "uuid": words("hlmlDeviceGetUUID", handle) or "",
        "serial": words("hlmlDeviceGetSerial", handle) or "",
        "driver_version": words("hlmlGetDriverVersion") or "",
        "memory.total": f"{number(getattr(_call(hlml.hlmlDeviceGetMemoryInfo, handle), 'total', None)) or 0:.0f} B",
    }
    device = _device(row)
    return device if device is None or not milliwatts else device.model_copy(update={"default_power_limit_w": milliwatts / 1000})


def _absent(*_arguments: object) -> None:
    return None


def ask() -> tuple[Accelerator, ...]:
    """All Gaudi devices that hl-smi lists."""
    try:
        answer = ask_tool(("hl-smi", "-Q", ",".join(COLUMNS), "-f", "csv"))
    except UnreadableError as error:
        if "status" not in str(error):
            raise
        answer = ask_tool(("hl-smi", "-Q", ",".join(OLD_COLUMNS), "-f", "csv"))
    return parse(answer)


def parse(answer: str) -> tuple[Accelerator, ...]:
    """The CSV with its header line; units stand in the cells, as in `131072 MiB`. UnreadableError when no row has an address."""
    try:
        table = list(csv.reader(answer.replace("\0", "").splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise UnreadableError(f"hl-smi printed no CSV: {error}") from None
    header = next((row for row in table if "bus_id" in (cell.strip() for cell in row)), None)
    if header is None:
        raise UnreadableError("hl-smi printed no table with a column bus_id")
    # `memory.total [MiB]`: the unit is in the cell too.
    names = [cell.split("[")[0].strip() for cell in header]
    found = [_device(dict(zip(names, row, strict=False))) for row in table if row is not header]
    listed = tuple(each for each in found if each is not None)
    if not listed:
        raise UnreadableError("hl-smi listed no device")
    return listed


def _device(row: dict[str, str]) -> Accelerator | None:
    address = bus_address(row.get("bus_id"))
    if address is None:
        return None
    name = text(row.get("name"))
    return Accelerator(
        index=0,
        vendor="Intel Gaudi",
        source="hlml",
        name=name,
        pci_bus=address,
        driver=text(row.get("driver_version")),
        uuid=text(row.get("uuid")),
        serial=text(row.get("serial")),
        memory_bytes=size(row.get("memory.total"), unit="MiB"),
        power_limit_w=number(row.get("power.max")) or None,
        architecture=next((family for prefix, family in FAMILIES.items() if (name or "").startswith(prefix)), None),
    )
