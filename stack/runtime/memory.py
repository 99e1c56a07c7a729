"""How much memory a process tree took at its worst (edge)."""

import os
import threading
from types import TracebackType
from typing import Self

from stack.runtime.process import tree_memory_bytes

EVERY_S = 2.0


class PeakMemory:
    """Samples the proportional set size of this process and all its descendants every 2 s while the block runs.

    A peak shorter than that can be missed; `peak_bytes` is the largest sample, None before the first.
    """

    def __init__(self) -> None:
        self.peak_bytes: int | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes or 0, tree_memory_bytes(os.getpid()))
            if self._over.wait(EVERY_S):
                return
