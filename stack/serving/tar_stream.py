"""The one shape of tar file that a bundle is: plain files with fixed metadata, one after another (pure over streams).

A reader that knows which member comes next demands the very header that the writer would have written for it. Links, folders, devices,
absolute names, `..`, repeated members, extension records and compression have no way to be expressed, and nothing is parsed but one size.
"""

import tarfile
from typing import BinaryIO

BLOCK = 512
END = bytes(2 * BLOCK)
SIZE_FIELD = slice(124, 136)


def header(name: str, size: int) -> bytes:
    """512 bytes: mode 0644, no owner, time 0, so that equal content gives equal bytes. Sizes of 8 GiB and more take GNU's binary form."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o644, 0
    block = member.tobuf(tarfile.GNU_FORMAT)
    if len(block) != BLOCK:
        raise ValueError(f"{name}: name too long for a bundle")
    return block


def padding(size: int) -> bytes:
    """Zeros up to the next block."""
    return bytes(-size % BLOCK)


def read_first_size(block: bytes, name: str) -> int:
    """The size that the header of the first member states; ValueError when it is not the header of `name`."""
    try:
        size = int(block[SIZE_FIELD].rstrip(b"\0 "), 8)
    except ValueError:
        raise ValueError("does not begin like a bundle") from None
    if size < 0 or block != header(name, size):
        raise ValueError(f"does not begin with {name}")
    return size


def expect(stream: BinaryIO, wanted: bytes, what: str) -> None:
    """Read exactly these bytes; ValueError naming `what` otherwise."""
    if stream.read(len(wanted)) != wanted:
        raise ValueError(f"{what}: not what a bundle has there")
