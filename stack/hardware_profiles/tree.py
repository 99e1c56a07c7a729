"""Careful reading of /proc and /sys under any root (edge).

Whatever a file holds, reading it yields a value or None and a probe with the reason; it never raises,
never blocks (a FIFO in a file's place), and never reads without bound.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from stack.hardware_profiles.inventory import Probe

T = TypeVar("T")

MAX_BYTES = 4 << 20
CHUNK = 1 << 16
MAX_CPUS = 1 << 16
DIGEST_DIGITS = 12
HASHED = "hmac:"


class UnreadableError(Exception):
    """Why a value could not be read; caught where the probe is noted."""


@dataclass
class Tree:
    """The files of one machine, and a note of everything that could not be read from them."""

    root: Path = Path("/")
    identifiers: bool = False
    probes: list[Probe] = field(default_factory=list)
    _salt: bytes = b""

    def attempt(self, name: str, read: Callable[[], T]) -> T | None:
        """`read()`, or None with its reason noted under `name`."""
        try:
            value = read()
        except (OSError, UnreadableError) as error:
            self.probes.append(Probe(name=name, ok=False, reason=explain(error)))
            return None
        self.probes.append(Probe(name=name, ok=True))
        return value

    def note(self, name: str, reason: str) -> None:
        """Something that is known to be missing."""
        self.probes.append(Probe(name=name, ok=False, reason=reason))

    def path(self, where: str) -> Path:
        return self.root / where.lstrip("/")

    def read(self, where: str) -> bytes:
        """At most 4 MiB of a file; OSError as the kernel gives it."""
        handle = os.open(self.path(where), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            # In pages: the kernel allocates what is asked for, and refuses a large read of a small file in /proc/sys.
            content = bytearray()
            while len(content) < MAX_BYTES and (part := os.read(handle, CHUNK)):
                content += part
            return bytes(content)
        finally:
            os.close(handle)

    def text(self, where: str) -> str:
        """Stripped printable text; UnreadableError when there is none."""
        found = printable(self.read(where).decode(errors="replace"))
        if not found:
            raise UnreadableError(f"{self._shown(where)} is empty")
        return found

    def line(self, where: str) -> str:
        return self.text(where).splitlines()[0].strip()

    def integer(self, where: str) -> int:
        return as_integer(self.line(where), where=self._shown(where))

    def names(self, where: str) -> list[str]:
        """Sorted entries of a folder; one that no text can hold is none of the kernel's."""
        return sorted(entry.name for entry in self.path(where).iterdir() if entry.name.isprintable())

    def link_name(self, where: str) -> str:
        """Last part of a symbolic link's target."""
        return printable(self.path(where).readlink().name)

    def target(self, where: str) -> str:
        """The full path a symbolic link, or a folder reached by links, stands for."""
        return os.path.realpath(self.path(where))

    def exists(self, where: str) -> bool:
        return os.path.lexists(self.path(where))

    def identifier(self, value: str) -> str:
        """The value itself when identifiers were asked for, else a keyed hash.

        The key is the machine id: the same device hashes alike on the same machine, and a MAC, with its 24 bits
        behind a known maker's prefix, cannot be found by trying them all. Without a machine id it is random.
        """
        if self.identifiers:
            return value
        if not self._salt:
            try:
                self._salt = self.read("etc/machine-id").strip()
            except OSError:
                self._salt = b""
            self._salt = self._salt or secrets.token_bytes(32)
        return HASHED + hmac.new(self._salt, value.encode(), hashlib.sha256).hexdigest()[:DIGEST_DIGITS]

    def _shown(self, where: str) -> str:
        return f"/{where.lstrip('/')}"


def is_hashed(identifier: str) -> bool:
    return identifier.startswith(HASHED)


def printable(text: str) -> str:
    """Without control characters and bytes that are no text."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t").strip()


def explain(error: Exception) -> str:
    """One line without the root the tree hangs under."""
    if isinstance(error, FileNotFoundError):
        return f"this kernel or machine does not offer it ({Path(str(error.filename)).name})"
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower() + (f" ({Path(str(error.filename)).name})" if error.filename else "")
    return str(error)


def as_integer(text: str, *, where: str) -> int:
    """A decimal integer that is not negative (the kernel says -1 for unknown)."""
    if not re.fullmatch(r"[0-9]{1,20}", text.strip(), re.ASCII):
        raise UnreadableError(f"{where} holds {text[:40]!r}, not a count")
    return int(text)


def parse_cpu_list(text: str, *, where: str) -> set[int]:
    """The kernel's list format, as in `0-3,8,10-11`."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        low = as_integer(first, where=where)
        high = as_integer(last, where=where) if last else low
        if not low <= high < MAX_CPUS:
            raise UnreadableError(f"{where} holds the range {part[:40]!r}, which is not a range of CPUs")
        found.update(range(low, high + 1))
    return found


def parse_size(text: str, *, where: str) -> int:
    """`32K`, `4096K`, `32M` in bytes."""
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text.strip(), re.ASCII)
    if match is None:
        raise UnreadableError(f"{where} holds {text[:40]!r}, not a size")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]
