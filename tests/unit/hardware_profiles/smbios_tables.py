"""SMBIOS tables as firmware writes them, for the tests."""

import struct

TABLE_END = bytes((127, 4, 0xFF, 0xFF, 0, 0))


def memory_device(
    slot: str,
    *,
    mib: int = 65536,
    kind: int = 0x22,
    speed: int = 5600,
    serial: str = "3F2A9C01",
    maker: str = "Micron",
    part: str = "MTC40F2046S1RC56BD1",
    length: int = 0x5C,
) -> bytes:
    """An SMBIOS structure of type 17 as DSP0134 3.7, section 7.18, lays it out: sizes of 32 GiB and more stand in the extended field."""
    strings = [slot, "P0 CHANNEL A", maker, serial, part]
    body = bytearray(0x5C)
    small = mib < 0x7FFF
    struct.pack_into("<BBH", body, 0x00, 17, length, 0x1100)
    struct.pack_into("<H", body, 0x0C, mib if small else 0x7FFF)
    struct.pack_into("<BBBB", body, 0x0E, 9, 0, 1, 2)
    struct.pack_into("<B", body, 0x12, kind)
    struct.pack_into("<H", body, 0x15, speed)
    struct.pack_into("<BBBB", body, 0x17, 3, 4, 0, 5)
    struct.pack_into("<I", body, 0x1C, 0 if small else mib)
    struct.pack_into("<H", body, 0x20, speed)
    return bytes(body[:length]) + b"".join(text.encode() + b"\0" for text in strings) + b"\0"
