"""Answers that were paid for, kept on disk so that a killed task asks nothing twice (edge)."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from stack.pipelines.errors import PipelineError
from stack.pipelines.labeling.replies import Reply
from stack.runtime.files import sync

SYNC_ANSWERS = 64
SYNC_S = 1.0
MODE = 0o600
"""Answers may repeat what a record says: they are for the one who runs the labeling."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer: the key of its request, and the reply."""

    key: str
    text: str
    prompt_tokens: int
    completion_tokens: int


class Answers:
    """One file of JSON lines that only grows; of two lines with one key the first counts. Failures are not kept.

    A line goes to the operating system at once, so a killed process loses none; `sync`, due after 64 answers or 1 s, guards against a
    machine that loses power. A last line cut short is left where it is and skipped. Two processes may append: each line is one write.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`path` is the shard's own. PipelineError when it cannot be written."""
        self.path = path
        self._clock = clock
        self._unsynced = 0
        self._synced_at = clock()
        self._known: dict[str, Reply] = {}
        self._file = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = self._read()
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
            if not whole:
                self._write(b"\n")
            sync(path.parent)  # a file just made must be found again
        except OSError as fault:
            raise self._cannot(fault) from fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Reply | None:
        return self._known.get(key)

    def put(self, key: str, reply: Reply) -> None:
        """Append it; PipelineError when the disk takes no more."""
        if key in self._known:
            return
        line = msgspec.json.encode(Line(key, reply.text, reply.prompt_tokens, reply.completion_tokens)) + b"\n"
        try:
            self._write(line)
        except OSError as fault:
            raise self._cannot(fault) from fault
        self._known[key] = reply
        self._unsynced += 1

    @property
    def due(self) -> bool:
        """Whether it is time for `sync`."""
        return self._unsynced >= SYNC_ANSWERS or (self._unsynced > 0 and self._clock() - self._synced_at >= SYNC_S)

    def sync(self) -> None:
        """To the disk. Safe to call in a thread while answers are put."""
        self._unsynced = 0
        self._synced_at = self._clock()
        try:
            os.fsync(self._file)
        except OSError as fault:
            raise self._cannot(fault) from fault

    def close(self) -> None:
        if self._file >= 0:
            try:
                if self._unsynced:
                    self.sync()
            finally:
                os.close(self._file)
                self._file = -1

    def _read(self) -> bool:
        """Whether the file ends with a whole line (or is empty)."""
        data = self.path.read_bytes() if self.path.exists() else b""
        decode = msgspec.json.Decoder(Line).decode
        for raw in data.split(b"\n"):
            try:
                line = decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            self._known.setdefault(line.key, Reply(line.text, line.prompt_tokens, line.completion_tokens))
        return not data or data.endswith(b"\n")

    def _write(self, data: bytes) -> None:
        written = os.write(self._file, data)
        if written < len(data):
            # A disk just full takes a part: end the torn line, so that the next whole one is not spoilt.
            os.write(self._file, data[written:])

    def _cannot(self, fault: OSError) -> PipelineError:
        return PipelineError(f"answers cannot be kept in {self.path}: {fault.strerror}: make room or choose another folder, and run the same command again")
