"""The MLPerf system description has every field its checker wants, and says how each is known."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stack.hardware_profiles import Accelerator, Inventory, collect_inventory
from stack.hardware_profiles.declared import declare
from stack.hardware_profiles.inventory import Link, PciePort
from stack.hardware_profiles.mlperf import system_description

Files = dict[str, bytes]
Build = Callable[[Files], Path]

# SYSTEM_DESC_REQUIRED_FIELDS of mlcommons/inference v6.1, tools/submission/submission_checker/constants.py.
REQUIRED = [
    "division",
    "submitter",
    "status",
    "system_name",
    "number_of_nodes",
    "host_processor_model_name",
    "host_processors_per_node",
    "host_processor_core_count",
    "host_memory_capacity",
    "host_storage_capacity",
    "host_storage_type",
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_memory_capacity",
    "framework",
    "operating_system",
    "system_type",
    "other_software_stack",
    "host_processor_frequency",
    "host_processor_caches",
    "host_memory_configuration",
    "host_processor_interconnect",
    "host_networking",
    "host_networking_topology",
    "accelerator_frequency",
    "accelerator_host_interconnect",
    "accelerator_interconnect",
    "accelerator_interconnect_topology",
    "accelerator_memory_configuration",
    "accelerator_on-chip_memories",
    "cooling",
    "hw_notes",
    "sw_notes",
    "host_network_card_count",
    "system_type_detail",
]


@pytest.fixture(scope="module")
def found(machine: Path) -> Inventory:
    return collect_inventory(machine)


def marks(description: dict[str, object]) -> dict[str, str]:
    how = description["marks"]
    assert isinstance(how, dict)
    return how


def test_every_required_field_is_there_as_text_with_its_mark(found: Inventory) -> None:
    description = system_description(found)
    assert [name for name in description if name != "marks"] == REQUIRED
    assert set(marks(description)) == set(REQUIRED)
    for name in REQUIRED:
        assert isinstance(description[name], str)
        assert (description[name] == "") == (marks(description)[name] == "unknown"), name


def test_what_was_read_is_told_in_words_an_evaluator_knows(found: Inventory) -> None:
    description = system_description(found)
    assert description["host_processor_core_count"] == "2"  # of one processor
    assert description["host_processors_per_node"] == "2"
    assert description["host_processor_caches"] == "L1 data: 4 x 48 KiB, L3 unified: 2 x 105 MiB"
    assert description["host_memory_configuration"] == "2 x 64 GiB DDR5 at 5600 MT/s, Micron MTC40F2046S1RC56BD1"
    assert description["host_networking"] == "1 x mlx5_core, 100000 Mbit/s, RoCE"
    assert description["host_storage_type"] == "nvme SSD"
    assert description["accelerator_host_interconnect"] == "PCIe Gen5 x16"
    assert description["accelerator_memory_capacity"] == ""


def test_a_machine_without_accelerators_says_none_and_one_that_cannot_tell_says_nothing(build: Build, machine_files: Files, tmp_path: Path) -> None:
    without = {path: data for path, data in machine_files.items() if "0000:17:00.0" not in path}
    description = system_description(collect_inventory(build(without)))
    assert (description["accelerators_per_node"], description["accelerator_model_name"]) == ("0", "N/A")
    assert description["accelerator_memory_configuration"] == description["accelerator_on-chip_memories"] == "N/A"
    blind = system_description(collect_inventory(tmp_path))
    assert blind["accelerators_per_node"] == blind["accelerator_model_name"] == ""


def test_alike_accelerators_are_named_once_and_one_silent_member_makes_a_value_unknown(found: Inventory) -> None:
    port = PciePort(generation=1, width=16, max_generation=5, max_width=16)
    gpus = tuple(Accelerator(index=n, vendor="NVIDIA", source="nvml", name="NVIDIA H100 80GB HBM3", memory_bytes=80 << 30, pcie=port) for n in range(2))
    links = (Link(first=0, second=1, kind="nvswitch", count=18, path=None),)
    description = system_description(found.model_copy(update={"accelerators": gpus, "links": links}))
    assert description["accelerator_model_name"] == "NVIDIA H100 80GB HBM3"
    assert (description["accelerator_memory_capacity"], description["accelerator_interconnect"]) == ("80 GiB", "NVSwitch")
    silent = (gpus[0], gpus[1].model_copy(update={"memory_bytes": None}))
    assert system_description(found.model_copy(update={"accelerators": silent}))["accelerator_memory_capacity"] == ""


def test_declared_fields_are_marked_as_declared(found: Inventory) -> None:
    filled = declare(found, {"system.cooling": "air", "system.nodes": 2, "system.submitter": "Example"}, source="x")
    description = system_description(filled)
    assert (description["cooling"], description["number_of_nodes"], description["submitter"]) == ("air", "2", "Example")
    assert marks(description)["cooling"] == marks(description)["number_of_nodes"] == "declared"
    assert marks(description)["system_name"] == "detected"  # vendor and product
