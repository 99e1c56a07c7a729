"""reviews.jsonl: appended and synced, never rewritten (edge)."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from stack.pipelines.errors import PipelineError
from stack.pipelines.review.decisions import Decision, Kind
from stack.runtime.errors import describe_validation
from stack.runtime.files import sync

REVIEWS, LOCK = "reviews.jsonl", ".review.lock"


def read_decisions(path: Path) -> list[Decision]:
    """All decisions of a log, none when there is no file. A last line without its end was never acknowledged and is left out.

    PipelineError names the line that is not a decision, or whose number does not follow.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PipelineError(f"{path} cannot be read: {error.strerror}") from None
    decisions = []
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            decision = Decision.model_validate_json(line)
        except ValidationError as error:
            raise PipelineError(f"{describe_validation(error, source=f'{path} line {number}')}: restore the file, nothing else writes it") from None
        if decision.seq != number:
            raise PipelineError(f"{path} line {number}: field `seq` is {decision.seq}, expected {number}: lines are missing or doubled; restore the file")
        decisions.append(decision)
    return decisions


class ReviewLog:
    """A log that is open for writing; made by `open_log`, which holds the folder's lock."""

    def __init__(self, path: Path) -> None:
        self.decisions = read_decisions(path)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = _whole_lines(path)
        os.ftruncate(self._handle, self._size)
        sync(path.parent)

    def append(self, *, kind: Kind, record_id: str, text_sha256: str, reviewer: str, label: str | None, note: str = "", at: datetime | None = None) -> Decision:
        """On disk when it returns. PipelineError when it could not be written; the log is then as before."""
        at = at or datetime.now(UTC).replace(microsecond=0)
        decision = Decision(
            record_id=record_id, text_sha256=text_sha256, reviewer=reviewer, label=label, note=note, at=at, kind=kind, seq=len(self.decisions) + 1
        )
        line = decision.model_dump_json().encode() + b"\n"
        try:
            written = os.write(self._handle, line)
            if written != len(line):
                raise OSError(0, "disk full")
            os.fsync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, self._size)
            raise PipelineError(f"{REVIEWS} cannot be written: {error.strerror}: free some space and decide again") from None
        self._size += len(line)
        self.decisions.append(decision)
        return decision

    def close(self) -> None:
        os.close(self._handle)


@contextmanager
def open_log(out: Path) -> Iterator[ReviewLog]:
    """The folder's log, ours alone until the block or the process ends."""
    try:
        lock = (out / LOCK).open("w")
    except OSError as error:
        raise PipelineError(f"OUT {out} cannot be written: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(f"OUT {out} is open in another review or import: end that one first") from None
        log = ReviewLog(out / REVIEWS)
        try:
            yield log
        finally:
            log.close()


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line end."""
    return path.read_bytes().rfind(b"\n") + 1
