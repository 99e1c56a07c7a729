"""The peak counts children and survives their end."""

from pathlib import Path

import pytest

from stack.runtime import memory
from stack.runtime.memory import PeakMemory
from stack.runtime.process import Child

MIB = 1 << 20


def test_the_peak_of_a_child_is_remembered_after_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "EVERY_S", 0.05)
    with PeakMemory() as watch:
        child = Child.start("holder", ["python3", "-c", "import time; held = bytearray(200 << 20); time.sleep(60)"], log=tmp_path / "log")
        child.wait_ready(lambda: child.memory_bytes() > 200 * MIB, timeout_s=20)
        child.wait_ready(lambda: (watch.peak_bytes or 0) > 200 * MIB, timeout_s=20)
        child.stop()
    assert watch.peak_bytes is not None
    assert watch.peak_bytes > 200 * MIB
