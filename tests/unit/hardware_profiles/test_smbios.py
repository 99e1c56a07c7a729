"""Memory modules are read from SMBIOS tables, whatever the firmware wrote there."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smbios_tables import TABLE_END, memory_device

from stack.hardware_profiles.smbios import FILLERS, parse_dimms

BIOS = bytes((0, 24)) + bytes(22) + b"Dell Inc.\0002.5.4\0\0"
TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30).filter(lambda text: text.lower() not in FILLERS)


@pytest.mark.parametrize(("mib", "size"), [(512, 512 << 20), (32766, 32766 << 20), (32768, 32 << 30), (262144, 256 << 30)])
def test_small_sizes_stand_in_the_first_field_and_large_ones_in_the_extended(mib: int, size: int) -> None:
    (dimm,) = parse_dimms(memory_device("A1", mib=mib) + TABLE_END)
    assert dimm.size_bytes == size


def test_a_size_in_kib_is_told_by_its_highest_bit() -> None:
    table = bytearray(memory_device("A1"))
    struct.pack_into("<H", table, 0x0C, 0x8000 | 512)
    assert parse_dimms(bytes(table))[0].size_bytes == 512 << 10


def test_an_unknown_size_is_none_and_an_empty_socket_is_left_out() -> None:
    unknown = bytearray(memory_device("A1"))
    struct.pack_into("<H", unknown, 0x0C, 0xFFFF)
    dimms = parse_dimms(bytes(unknown) + memory_device("A2", mib=0) + memory_device("A3") + TABLE_END)
    assert [(dimm.slot, dimm.size_bytes) for dimm in dimms] == [("P0 CHANNEL A A1", None), ("P0 CHANNEL A A3", 64 << 30)]


def test_a_short_structure_of_an_old_firmware_leaves_its_later_fields_unknown() -> None:
    (dimm,) = parse_dimms(memory_device("A1", mib=4096, length=0x15) + TABLE_END)
    assert (dimm.size_bytes, dimm.kind, dimm.speed_mt_s, dimm.serial) == (4 << 30, "DDR5", None, None)


@pytest.mark.parametrize("filler", ["Not Specified", "Unknown", "NO DIMM", "   "])
def test_what_firmware_writes_for_unknown_is_none(filler: str) -> None:
    (dimm,) = parse_dimms(memory_device("A1", serial=filler, maker=filler) + TABLE_END)
    assert dimm.serial is dimm.manufacturer is None


def test_nothing_after_the_end_of_the_table_counts() -> None:
    assert len(parse_dimms(BIOS + memory_device("A1") + TABLE_END + memory_device("ghost"))) == 1


@given(TEXT, TEXT, st.integers(1, 1 << 22), st.integers(1, 0xFFFE))
def test_what_was_written_is_read_back(slot: str, serial: str, mib: int, speed: int) -> None:
    (dimm,) = parse_dimms(BIOS + memory_device(slot, serial=serial, mib=mib, speed=speed) + TABLE_END)
    assert dimm.slot == f"P0 CHANNEL A {slot}"
    assert (dimm.serial, dimm.size_bytes, dimm.speed_mt_s) == (serial, mib << 20, speed)


@given(st.binary(max_size=400))
def test_any_bytes_give_modules_and_never_an_error(table: bytes) -> None:
    for dimm in parse_dimms(table):
        assert dimm.size_bytes is None or dimm.size_bytes > 0


@given(st.integers(0, 3 * 150), st.integers(0, 255))
def test_a_changed_byte_in_one_module_leaves_those_before_it(place: int, value: int) -> None:
    modules = [memory_device(name) for name in ("A1", "A2", "A3")]
    table = bytearray(b"".join(modules) + TABLE_END)
    place %= len(table)
    table[place] = value
    untouched = place // len(modules[0])
    assert parse_dimms(bytes(table))[:untouched] == parse_dimms(b"".join(modules))[:untouched]
