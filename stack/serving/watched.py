"""A file that is read again when it changes (edge: one file)."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from stack.serving.errors import ServingError

RELOAD_S = 1.0
Content = TypeVar("Content")


class Watched(Generic[Content]):
    """What a file says: a change counts after `RELOAD_S` at the latest, and a file that cannot be read says nothing any more."""

    def __init__(self, path: Path, read: Callable[[Path], Content], *, meanwhile: str) -> None:
        """ServingError when the file cannot be read now. `meanwhile` is what is told in the log beside the error when it cannot be read later."""
        self._path, self._read, self._meanwhile = path, read, meanwhile
        self._looked_s, self._seen = time.monotonic(), _stamp(path)
        self._content: Content | ServingError = read(path)

    def current(self) -> Content:
        """ServingError as long as the file cannot be read: what it said may have been revoked."""
        if time.monotonic() - self._looked_s >= RELOAD_S:
            self._looked_s = time.monotonic()
            stamp = _stamp(self._path)
            if stamp != self._seen or stamp is None:
                self._seen, self._content = stamp, self._again()
        if isinstance(self._content, ServingError):
            raise self._content
        return self._content

    def _again(self) -> Content | ServingError:
        try:
            return self._read(self._path)
        except ServingError as error:
            logging.getLogger(__name__).error("%s: %s", self._meanwhile, error)  # one line says it
            return error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written, replaced, or a symbolic link on the way is turned (Kubernetes Secrets)."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
