"""A user without rights gets everything that is readable, and the reason for the rest."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.hardware_profiles import Inventory, collect_inventory

NOBODY = 65534


@pytest.fixture
def open_place(build: object, machine_files: dict[str, bytes]) -> Iterator[Path]:
    """A copy of the machine where any user may go: pytest's own folders are private."""
    assert callable(build)
    place = Path(tempfile.mkdtemp(prefix="stackproof-machine-"))
    place.chmod(0o755)
    root = shutil.copytree(build(machine_files), place / "root", symlinks=True)
    yield root
    for folder, _, _ in os.walk(place):
        Path(folder).chmod(0o755)
    shutil.rmtree(place)


def as_nobody(root: Path) -> Inventory:
    """The inventory that a child takes after it gave up root's rights; a user's own rights when there are none to give up."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of the parent's may run on in it
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            with open(writer, "wb") as out:
                out.write(collect_inventory(root).model_dump_json().encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as answer:
        content = answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the scan ended with a traceback"
    return Inventory.model_validate_json(content)


def test_what_only_root_may_read_costs_itself_alone(open_place: Path) -> None:
    whole = as_nobody(open_place)
    for path in ("sys/firmware/dmi/tables/DMI", "proc/meminfo", "sys/devices/pci0000:00/nvme/nvme0/serial"):
        (open_place / path).chmod(0)
    found = as_nobody(open_place)
    assert found.memory.dimms == ()
    assert "root alone" in found.reason("memory.dimms")
    assert "permission denied" in found.reason("memory.meminfo")
    assert "permission denied" in found.reason("storage.nvme0n1.serial")
    assert found.storage[0].model_copy(update={"serial": whole.storage[0].serial}) == whole.storage[0]
    assert (found.cpu, found.network, found.host, found.accelerators) == (whole.cpu, whole.network, whole.host, whole.accelerators)


@pytest.mark.parametrize("folder", ["sys/class/net", "sys/block", "sys/bus/pci/devices", "sys/devices/system/cpu", "proc", "sys/firmware"])
def test_a_folder_that_may_not_be_entered_never_raises(folder: str, open_place: Path) -> None:
    (open_place / folder).chmod(0)
    found = as_nobody(open_place)
    assert found.failures
    assert found.software.operating_system == "Ubuntu 24.04.3 LTS"


def test_the_running_machine_can_be_read_by_anybody() -> None:
    assert as_nobody(Path("/")).cpu.logical_cores
