"""What makers' tools print is read as published samples of their output show it; none of it was run on the hardware."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles.accelerators import amd, answers, gaudi, neuron
from stack.hardware_profiles.accelerators.amd import graphics_version, kfd_address
from stack.hardware_profiles.inventory import Accelerator
from stack.hardware_profiles.tree import UnreadableError

# Form of `amd-smi static --json`: amd-smi's own source (ROCm/amdsmi, amdsmi_cli/amdsmi_commands.py) and MI300X output quoted in public issue threads.
MI300X = {
    "gpu": 0,
    "asic": {
        "market_name": "AMD Instinct MI300X",
        "vendor_id": "0x1002",
        "device_id": "0x74a1",
        "asic_serial": "0x6F1F0A2B3C4D5E6F",
        "num_compute_units": 304,
        "target_graphics_version": "gfx942",
    },
    "bus": {
        "bdf": "0000:83:00.0",
        "max_pcie_width": 16,
        "max_pcie_speed": {"value": 32, "unit": "GT/s"},
        "pcie_interface_version": "Gen 5",
        "slot_type": "OAM",
    },
    "vbios": {"name": "AMD MI300X_HW_SRIOV_CVS_1VF", "build_date": "2024/08/07 15:34", "part_number": "113-M3000100-103", "version": "022.040.003.043.000001"},
    "limit": {"max_power": {"value": 750, "unit": "W"}, "min_power": {"value": 0, "unit": "W"}, "socket_power": {"value": 750, "unit": "W"}},
    "driver": {"name": "amdgpu", "version": "6.10.5"},
    "board": {"model_number": "102-G30211-0C", "product_serial": "N/A", "fru_id": "N/A", "product_name": "AMD Instinct MI300X OAM", "manufacturer_name": "AMD"},
    "numa": {"node": 1, "affinity": "0-47"},
    "vram": {"type": "HBM3", "vendor": "HYNIX", "size": {"value": 196592, "unit": "MB"}},
}
# Header and rows of `hl-smi -Q ... -f csv` on a Gaudi 3 node, driver 1.24, as a public device plugin's test quotes them; more columns by the manual.
GAUDI3 = """\
index, name, bus_id, driver_version, uuid, module_id, memory.total [MiB], memory.free [MiB], memory.used [MiB]
0, HL-325L, 0000:3b:00.0, 1.24.1-b336d5e, 01P4-HL3090A0-18-UAN071-12-03-01, 1, 131072 MiB, 130400 MiB, 672 MiB
1, HL-325L, 0000:4c:00.0, 1.24.1-b336d5e, 01P4-HL3090A0-18-UAN071-05-08-05, 3, 131072 MiB, 130400 MiB, 672 MiB
"""
# `neuron-ls --json-output` on a trn2.48xlarge, as AWS's user guide and public reports show it.
TRN2 = [
    {
        "instance_type": "trn2.48xlarge",
        "neuron_device": 0,
        "bdf": "0000:e1:00.0",
        "cpu_affinity": "48-95,144-191",
        "numa_node": "1",
        "connected_to": [12, 1, 9, 14],
        "nc_count": 4,
        "logical_neuroncore_config": 2,
        "memory_size": 103079215104,
        "neuroncore_ids": [0, 1, 2, 3],
        "neuron_processes": [{"pid": 1966680, "command": "", "neuron_runtime_version": "2.34.10"}],
    }
]


@pytest.mark.parametrize("form", [[MI300X], {"gpu_data": [MI300X]}])
def test_both_forms_of_amd_smi_are_read(form: object) -> None:
    (gpu,) = amd.parse_static(json.dumps(form))
    assert gpu == Accelerator(
        index=0,
        vendor="AMD",
        source="amdsmi",
        name="AMD Instinct MI300X",
        memory_bytes=196592 << 20,
        pci_bus="0000:83:00.0",
        driver="6.10.5",
        serial="0x6F1F0A2B3C4D5E6F",
        architecture="gfx942",
        board_part_number="102-G30211-0C",
        vbios="022.040.003.043.000001",
        power_limit_w=750.0,
        min_power_limit_w=0.0,
        max_power_limit_w=750.0,
        numa_node=1,
    )


def test_a_warning_before_the_document_of_amd_smi_does_not_hide_it() -> None:
    assert len(amd.parse_static("WARNING: User is missing the following required groups: render\n" + json.dumps([MI300X]))) == 1


def test_what_amd_smi_calls_not_available_is_unknown_and_a_limit_of_zero_too() -> None:
    entry = {**MI300X, "asic": {"market_name": "N/A", "asic_serial": "0x0"}, "vram": {"size": "N/A"}, "limit": {"socket_power": {"value": 0, "unit": "W"}}}
    (gpu,) = amd.parse_static(json.dumps([entry]))
    assert gpu.name is gpu.serial is gpu.memory_bytes is gpu.power_limit_w is gpu.max_power_limit_w is None
    assert gpu.driver == "6.10.5"


def test_limits_by_power_controller_of_newer_releases_are_read() -> None:
    entry = {**MI300X, "limit": {"ppt0": {"max_power_limit": {"value": 1000, "unit": "W"}, "socket_power_limit": {"value": 900, "unit": "W"}}}}
    (gpu,) = amd.parse_static(json.dumps([entry]))
    assert (gpu.power_limit_w, gpu.max_power_limit_w) == (900.0, 1000.0)


@pytest.mark.parametrize(("version", "name"), [(90402, "gfx942"), (90010, "gfx90a"), (110000, "gfx1100"), (120001, "gfx1201"), (90500, "gfx950")])
def test_the_compute_drivers_number_gives_the_name_of_the_architecture(version: int, name: str) -> None:
    assert graphics_version(version) == name


def test_a_location_of_the_compute_driver_is_a_bus_address() -> None:
    assert kfd_address(1, 0x8300) == "0001:83:00.0"
    assert kfd_address(0, (0x1B << 8) | (2 << 3) | 1) == "0000:1b:02.1"


def test_gaudi_devices_are_read_by_the_names_of_the_columns() -> None:
    first, second = gaudi.parse(GAUDI3)
    assert (first.name, first.architecture, first.pci_bus, first.driver) == ("HL-325L", "Gaudi 3", "0000:3b:00.0", "1.24.1-b336d5e")
    assert first.memory_bytes == 128 << 30
    assert second.uuid == "01P4-HL3090A0-18-UAN071-05-08-05"
    assert second.power_limit_w is None


def test_gaudi_columns_may_stand_in_another_order_and_hold_power() -> None:
    (device,) = gaudi.parse("bus_id, power.max, name, memory.total\n0000:19:00.0, 850 W, HL-225, 98304 MiB\n")
    assert (device.power_limit_w, device.memory_bytes, device.architecture) == (850.0, 96 << 30, "Gaudi 2")


def test_a_table_without_header_is_refused_because_its_columns_are_unknown() -> None:
    with pytest.raises(UnreadableError, match="column bus_id"):
        gaudi.parse("0, HL-325L, 0000:3b:00.0\n")


@pytest.mark.parametrize("form", [TRN2, {"instance_type": "trn2.48xlarge", "neuron_devices": TRN2}])
def test_neuron_devices_are_read_from_a_list_or_below_the_instances_fields(form: object) -> None:
    (device,) = neuron.parse(json.dumps(form))
    assert (device.index, device.pci_bus, device.memory_bytes, device.numa_node) == (0, "0000:e1:00.0", 96 << 30, 1)
    assert device.name is None  # the tool names no product; the driver does


def test_a_bus_address_without_domain_is_completed() -> None:
    (device,) = neuron.parse(json.dumps([{**TRN2[0], "bdf": "cc:00.0", "numa_node": None}]))
    assert (device.pci_bus, device.numa_node) == ("0000:cc:00.0", None)


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused_with_the_tools_name(text: str) -> None:
    for parse, tool in ((amd.parse_static, "amd-smi"), (gaudi.parse, "hl-smi"), (neuron.parse, "neuron-ls")):
        try:
            parse(text)
        except UnreadableError as error:
            assert tool in str(error)  # noqa: PT017


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["gpu_data", "neuron_device", "bdf", "bus", "vram", "size", "value", "unit", "limit", "asic"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_parsed_or_refused(document: object) -> None:
    for parse in (amd.parse_static, neuron.parse):
        try:
            parse(json.dumps(document))
        except UnreadableError as error:
            assert str(error)  # noqa: PT017


@given(st.sampled_from([json.dumps([MI300X]), json.dumps(TRN2), GAUDI3]), st.integers(0, 2000), st.characters())
def test_a_changed_character_never_raises_anything_else(text: str, place: int, char: str) -> None:
    place %= len(text)
    for parse in (amd.parse_static, gaudi.parse, neuron.parse):
        try:
            found = parse(text[:place] + char + text[place + 1 :])
        except UnreadableError:
            continue
        assert all(each.pci_bus for each in found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("226 W", 226.0),
        ({"value": "750", "unit": "W"}, 750.0),
        (True, None),
        ("N/A", None),
        (-1, None),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        ([1], None),
    ],
)
def test_numbers_are_read_with_their_unit_or_not_at_all(value: object, expected: float | None) -> None:
    assert answers.number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("131072 MiB", 128 << 30), ({"value": 196592, "unit": "MB"}, 196592 << 20), ("0 MiB", None), ("7 parsecs", None), (64, 64 << 20)]
)
def test_sizes_are_in_bytes_and_never_zero(value: object, expected: int | None) -> None:
    assert answers.size(value, unit="MB") == expected


@pytest.mark.parametrize(
    ("text", "address"), [("00000000:1B:00.0", "0000:1b:00.0"), ("cc:00.0", "0000:cc:00.0"), ("0001:05:00.0", "0001:05:00.0"), ("3b", None), (7, None)]
)
def test_bus_addresses_of_all_tools_are_brought_to_the_kernels_form(text: object, address: str | None) -> None:
    assert answers.bus_address(text) == address
