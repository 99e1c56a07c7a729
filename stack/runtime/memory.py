"""How much memory a process tree took at its worst (edge).

Sampled by a process of its own (`python -m stack.runtime.memory PID EVERY_S FILE`): a thread would now and then be set aside while it
holds the interpreter's lock, and stall whatever else this process does, the load generator's event loop included.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.runtime.process import Child, tree_memory_bytes

EVERY_S = 2.0


class PeakMemory:
    """Samples the proportional set size of this process and all its descendants every 2 s while the block runs.

    A peak shorter than that can be missed; `peak_bytes` is the largest sample, None before the first. The sampling process counts too.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="stackproof-memory-"))
        self._file = self._folder / "peak"
        self._child: Child | None = None
        self._last: int | None = None

    @property
    def peak_bytes(self) -> int | None:
        if self._file.exists():
            self._last = int(self._file.read_text())
        return self._last

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "stack.runtime.memory", str(os.getpid()), str(EVERY_S), str(self._file)]
        self._child = Child.start("memory watch", command, log=self._folder / "log", grace_s=1.0)
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._child is not None:
            self._child.stop()
        self._last = self.peak_bytes
        shutil.rmtree(self._folder, ignore_errors=True)


def main(pid: int, every_s: float, file: Path) -> None:
    """Sample until ended from outside; the file is always whole."""
    peak = 0
    fresh = file.with_suffix(".new")
    while True:
        peak = max(peak, tree_memory_bytes(pid))
        fresh.write_text(str(peak))
        fresh.replace(file)
        time.sleep(every_s)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
