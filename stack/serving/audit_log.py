"""The audit log: one JSON line per decision, each bound to the one before, so that a change shows (edge: one file).

A line ends with `"sha256"`, the digest of its text before that member, and holds `"previous"`, the digest of the line
before, and `"sequence"`, counted from 1. Prompts, keys and tokens are never in it. The chain has no secret: who may write
the file can make it anew from any line on, or cut its end off, so note the last digest elsewhere to hold it to.
"""

import errno
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.json import Encoder

from stack.runtime.logs import numbered, old_logs, rotate
from stack.serving.errors import ServingError

FIRST = "0" * 64
"""What the first line has for the digest of the one before."""
SEAL = b',"sha256":"'
FILE_BYTES = 64 << 20
ENCODE = Encoder().encode
"""Every request waits for its line: between other work this costs a third of what `json` does."""
TAIL_BYTES = 64 << 10
"""More than a line ever has."""


class _Link(Struct):
    """How a line begins."""

    sequence: int
    previous: str
    time: datetime


class Decision(Struct, frozen=True):
    """What is told of a request. `estimated_tokens` is what it was charged before it ran."""

    request_id: str
    tenant: str | None
    route: str
    model: str | None
    decision: str
    status: int
    reason: str | None
    estimated_tokens: int | None
    trace_id: str | None = None
    redacted: dict[str, int] | None = None
    """How many values of which kind were taken out of it; None where nothing is taken out."""


class _Resumed(Struct):
    torn_bytes: int
    decision: str = "resumed"


class AuditLog:
    """Appends to one file, which it continues when it is there. One process writes it.

    At `most_bytes` the file is renamed and the chain goes on in a new one. No old file is ever removed: that is for the site to do.
    """

    def __init__(self, path: Path, *, most_bytes: int = FILE_BYTES) -> None:
        """ServingError when the file cannot be written, or its last whole line is none of ours."""
        self._path, self._most_bytes = path, most_bytes
        self._sequence, self._previous, self._size = 0, FIRST, 0
        newest_old = numbered(path, 1)
        if newest_old.exists() and not (path.exists() and path.stat().st_size):  # we ended between the two
            self._file = self._open(newest_old)
            self._continue(newest_old)
            os.close(self._file)
        self._file = self._open(path)
        self._continue(path)

    def write(self, decision: Decision) -> None:
        """One write per line: after SIGKILL a line is there, or not, or torn at the end of the file, where `verify_log` tells it.

        ServingError when it cannot be written: then nothing may come of the decision.
        """
        self._append(decision)

    def _append(self, content: Decision | _Resumed) -> None:
        line, digest = _seal(_Link(self._sequence + 1, self._previous, datetime.now(UTC)), content)
        if self._size and self._size + len(line) > self._most_bytes:
            rotate(self._path)
            os.close(self._file)
            self._file, self._size = self._open(self._path), 0
        self._put(line)
        self._sequence, self._previous = self._sequence + 1, digest

    def _put(self, line: bytes) -> None:
        """The whole line or nothing: half of one, on a volume that is full, would stand before those that follow when there is room again."""
        try:
            written = os.write(self._file, line)
            if written < len(line):
                os.ftruncate(self._file, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            fault = f"audit log {self._path} cannot be written: {error.strerror}"
            logging.getLogger(__name__).error("no request is let through: %s", fault)  # one line says it
            raise ServingError(fault) from None
        self._size += written

    def _open(self, path: Path) -> int:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise ServingError(f"audit log {path} cannot be written: {error.strerror}") from None

    def _continue(self, path: Path) -> None:
        """Find where the chain stands. A torn line is cut off; the next line tells how many bytes that were."""
        size = self._size = os.fstat(self._file).st_size
        tail = os.pread(self._file, TAIL_BYTES, max(0, size - TAIL_BYTES))
        whole, newline, torn = tail.rpartition(b"\n")
        if newline:
            entry = _read(whole.rpartition(b"\n")[2])
            if entry is None:
                raise ServingError(f"audit log {path}: its last line was changed, so it is not continued; move it away, and see `stackproof secure verify-log`")
            self._sequence, self._previous = entry["sequence"], entry["sha256"]
        if torn:
            os.ftruncate(self._file, size - len(torn))
            self._size -= len(torn)
            self._append(_Resumed(len(torn)))


@dataclass(frozen=True)
class LogVerdict:
    """What a log is worth. `faults` name their line; `torn` is a line that the end of the process cut short, which is no fault."""

    entries: int
    faults: tuple[str, ...]
    torn: bool
    last_sha256: str


def verify_log(path: Path) -> LogVerdict:
    """Follow the chain from its first line, through the files that were renamed; ServingError when one cannot be read."""
    expected, previous, faults, torn, count = 1, FIRST, list[str](), False, 0
    for where, line in _all_lines(path):
        if not line.endswith(b"\n"):
            torn = True
            continue
        entry = _read(line[:-1])
        if entry is None:
            faults.append(f"{where} was changed")
            expected, previous = expected + 1, ""
            continue
        count += 1
        if fault := _gap(entry, expected, previous):
            faults.append(f"{where}: {fault}")
        expected, previous = entry["sequence"] + 1, entry["sha256"]
    return LogVerdict(count, tuple(faults), torn, previous)


def _gap(entry: dict[str, Any], expected: int, previous: str) -> str | None:
    """What is wrong with an entry's place; `previous` is empty after a line that was changed."""
    found = entry["sequence"]
    if found > expected:
        return f"entries {expected} to {found - 1} are missing before it" if found - 1 > expected else f"entry {expected} is missing before it"
    if found < expected:
        return f"entry {found} is out of order, {expected} was expected"
    if previous and entry["previous"] != previous:
        return "the line before it was replaced, or this one"
    return None


def _seal(link: _Link, content: Decision | _Resumed) -> tuple[bytes, str]:
    """A line and its digest."""
    text = b"%b,%b" % (ENCODE(link)[:-1], ENCODE(content)[1:-1])
    if not text.isascii():  # names that clients chose: nothing in them shall steer a terminal
        text = json.dumps(json.loads(text + b"}"), separators=(",", ":"))[:-1].encode()
    digest = hashlib.sha256(text).hexdigest()
    return b'%b%b%b"}\n' % (text, SEAL, digest.encode()), digest


def _read(line: bytes) -> dict[str, Any] | None:
    """An entry whose digest is right, without the newline."""
    text, _, rest = line.rpartition(SEAL)
    if rest != f'{hashlib.sha256(text).hexdigest()}"}}'.encode():
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("sequence"), int) and isinstance(entry.get("previous"), str) else None


def _all_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every line with its place, from the oldest file on."""
    for file in (*old_logs(path), path):
        name = "" if file == path else f"{file.name} "
        for number, line in enumerate(_lines(file), start=1):
            yield f"{name}line {number}", line


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise ServingError(f"{path}: cannot be read: {error.strerror}") from None
