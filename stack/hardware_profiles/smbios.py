"""Memory modules from the firmware's SMBIOS tables (logic; the table comes in as bytes).

Layout: DMTF DSP0134, System Management BIOS Reference Specification 3.7. Each structure is a header (type,
length, handle of two bytes), a formatted part up to `length`, then its strings, each ended by a zero byte, and
one zero byte more. Type 17 is a memory device (section 7.18), type 127 ends the table. Little-endian.
"""

import struct
from collections.abc import Iterator

from stack.hardware_profiles.inventory import Dimm

MEMORY_DEVICE, END = 17, 127
HEADER = 4
MOST_STRUCTURES = 4096
# Section 7.18.2, those of servers and of what runs inference at the edge.
KINDS = {
    0x0F: "SDRAM",
    0x12: "DDR",
    0x13: "DDR2",
    0x18: "DDR3",
    0x1A: "DDR4",
    0x1B: "LPDDR",
    0x1C: "LPDDR2",
    0x1D: "LPDDR3",
    0x1E: "LPDDR4",
    0x1F: "logical non-volatile device",
    0x20: "HBM",
    0x21: "HBM2",
    0x22: "DDR5",
    0x23: "LPDDR5",
    0x24: "HBM3",
}
# What firmware writes where it does not know.
FILLERS = frozenset(("", "unknown", "not specified", "no dimm", "none", "n/a", "undefined", "to be filled by o.e.m.", "not available"))


def parse_dimms(table: bytes) -> tuple[Dimm, ...]:
    """The fitted modules; an empty socket (size 0) is left out. Serials are the originals. A cut or wrong table gives what stands before the fault."""
    return tuple(dimm for formatted, strings in _structures(table) if (dimm := _dimm(formatted, strings)) is not None)


def _structures(table: bytes) -> Iterator[tuple[bytes, list[str]]]:
    """Formatted part and strings of each memory device."""
    place = 0
    for _ in range(MOST_STRUCTURES):
        if place + HEADER > len(table):
            return
        kind, length = table[place], table[place + 1]
        end = table.find(b"\0\0", place + length)
        if kind == END or length < HEADER or end < 0:
            return
        if kind == MEMORY_DEVICE:
            texts = table[place + length : end].split(b"\0")
            yield table[place : place + length], [text.decode("ascii", errors="replace").strip() for text in texts]
        place = end + 2


def _dimm(formatted: bytes, strings: list[str]) -> Dimm | None:
    size = _size_bytes(formatted)
    if size == 0:
        return None
    kind = _byte(formatted, 0x12)
    locator, bank = _string(formatted, 0x10, strings), _string(formatted, 0x11, strings)
    return Dimm(
        # Boards with several processors may name every first socket alike; the bank then tells them apart.
        slot=" ".join(part for part in (bank, locator) if part) or None,
        size_bytes=size,
        kind=None if kind is None else KINDS.get(kind),
        speed_mt_s=_speed(formatted),
        manufacturer=_string(formatted, 0x17, strings),
        part_number=_string(formatted, 0x1A, strings),
        serial=_string(formatted, 0x18, strings),
    )


def _size_bytes(formatted: bytes) -> int | None:
    """0 for an empty socket, None when unknown. Bit 15 says KiB instead of MiB; 7FFFh refers to the extended size in MiB."""
    size = _word(formatted, 0x0C)
    if size is None or size == 0xFFFF:
        return None
    if size == 0x7FFF:
        extended = _double(formatted, 0x1C)
        return None if extended is None else (extended & 0x7FFFFFFF) << 20
    return (size & 0x7FFF) << 10 if size & 0x8000 else size << 20


def _speed(formatted: bytes) -> int | None:
    """As configured, else as rated; FFFFh refers to the extended field, 0 is unknown."""
    for word, double in ((0x20, 0x58), (0x15, 0x54)):
        speed = _word(formatted, word)
        if speed == 0xFFFF:
            speed = _double(formatted, double)
        if speed:
            return speed
    return None


def _string(formatted: bytes, offset: int, strings: list[str]) -> str | None:
    """Strings count from 1; 0 means none."""
    number = _byte(formatted, offset)
    text = strings[number - 1] if number and number <= len(strings) else ""
    text = "".join(char for char in text if char.isprintable() and char != "\ufffd").strip()
    return text if text.lower() not in FILLERS else None


def _byte(formatted: bytes, offset: int) -> int | None:
    return formatted[offset] if offset < len(formatted) else None


def _word(formatted: bytes, offset: int) -> int | None:
    return struct.unpack_from("<H", formatted, offset)[0] if offset + 2 <= len(formatted) else None


def _double(formatted: bytes, offset: int) -> int | None:
    return struct.unpack_from("<I", formatted, offset)[0] if offset + 4 <= len(formatted) else None
