"""What the hardware is said to do: a GPU's figures from the catalog, a CPU's from its instruction sets and its highest clock."""

from collections.abc import Callable
from decimal import Decimal

from stack.evidence import FigureClass
from stack.hardware_profiles.catalog import Entry, Published, cpu_peak, load_catalog, match
from stack.hardware_profiles.inventory import Inventory
from stack.hardware_profiles.profile.device import Device
from stack.hardware_profiles.profile.models import Peak
from stack.hardware_profiles.tree import Tree, UnreadableError

MEMORY = "memory"
CATALOG_NAMES = {
    "float64": "fp64",
    "float32": "fp32",
    "tf32": "tf32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "float8": "fp8",
    "int8": "int8",
}
TERA_TO_GIGA = 1e3

PeakOf = Callable[[str], tuple[Peak | None, str]]
"""From a data type, or `memory`, to the peak in GFLOP/s, GOP/s or GB/s, or None and why."""


def peaks_of(device: Device, inventory: Inventory, tree: Tree) -> PeakOf:
    if not device.cuda:
        clock_hz = highest_clock(tree)
        return lambda what: _of_cpu(what, inventory, clock_hz)
    if device.accelerator is None:
        return lambda _what: (None, "NVML did not name the device, so no catalog entry can be matched")
    matched = match(device.accelerator, load_catalog().values())
    entry = matched.entry
    return (lambda _what: (None, matched.reason)) if entry is None else (lambda what: _of_entry(entry, what))


def highest_clock(tree: Tree) -> float | None:
    """Of any core, in Hz, so that the peak is never told too low; None in a guest, whose kernel knows only the nominal clock."""
    folder = "sys/devices/system/cpu/cpufreq"
    try:
        policies = [name for name in tree.names(folder) if name.startswith("policy")]
        return max((tree.integer(f"{folder}/{policy}/cpuinfo_max_freq") * 1e3 for policy in policies), default=None)
    except (OSError, UnreadableError):
        return None


def _of_cpu(what: str, inventory: Inventory, clock_hz: float | None) -> tuple[Peak | None, str]:
    if what == MEMORY:
        return None, "the number of memory channels is unknown"
    found = cpu_peak(inventory.cpu, CATALOG_NAMES[what], clock_hz)
    if not found.operations_per_s:
        return None, found.note
    return Peak(value=found.operations_per_s / 1e9, kind=FigureClass.COMPUTED, source=f"{found.note}, at the highest clock"), ""


def _of_entry(entry: Entry, what: str) -> tuple[Peak | None, str]:
    figure, value, scale = _rate(entry, what)
    if figure is None or value is None:
        return None, f"the catalog knows no {what} figure of {entry.title}"
    return Peak(value=float(value) * scale, kind=FigureClass.PUBLISHED, source=f"{entry.title}: {figure.source} ({figure.status})"), ""


def _rate(entry: Entry, what: str) -> tuple[Published | None, Decimal | None, float]:
    """The figure, its part of one device, and what brings that to giga a second."""
    if what == MEMORY:
        return entry.memory_bandwidth, entry.bandwidth_per_device, 1.0
    name = CATALOG_NAMES[what]
    return entry.peak(name), entry.peak_per_device(name), TERA_TO_GIGA
