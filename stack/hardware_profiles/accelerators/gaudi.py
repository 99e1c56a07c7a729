"""Intel Gaudi by its tool `hl-smi` (edge: one command; the rest is a parser).

The maker's Python binding, pyhlml, is in no public package index: the tool asks the same library.
"""

import csv

from stack.hardware_profiles.accelerators.answers import bus_address, number, size, text
from stack.hardware_profiles.accelerators.tools import ask_tool
from stack.hardware_profiles.inventory import Accelerator
from stack.hardware_profiles.tree import UnreadableError

COLUMNS = ("index", "name", "bus_id", "driver_version", "uuid", "serial", "memory.total", "power.max")
# What every release knows: a release that lacks one column refuses the whole question.
OLD_COLUMNS = ("index", "name", "bus_id", "driver_version", "uuid", "memory.total")
FAMILIES = {"HL-1": "Goya", "HL-20": "Gaudi", "HL-22": "Gaudi 2", "HL-28": "Gaudi 2", "HL-32": "Gaudi 3", "HL-33": "Gaudi 3"}


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
