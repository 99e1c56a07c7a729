"""Children end when they are told to, and when we die without telling them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.runtime.guardian import descendants
from stack.runtime.process import Child, ChildError, tree_memory_bytes

BASH = ["bash", "-c"]
STUBBORN_TREE = "trap '' TERM; (trap '' TERM; setsid sleep 300 & sleep 300) & sleep 300; sleep 300"


def wait_gone(pids: list[int], *, timeout_s: float = 10.0) -> list[int]:
    deadline = time.monotonic() + timeout_s
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[Child]:
    child = Child.start("stubborn", [*BASH, STUBBORN_TREE], log=tmp_path / "log", grace_s=0.3)
    child.wait_ready(lambda: len(child.pids()) >= 5, timeout_s=10)
    yield child
    child.stop()


def test_stop_ends_a_tree_that_ignores_sigterm_and_left_its_session(stubborn: Child) -> None:
    pids = stubborn.pids()
    stubborn.stop()
    assert wait_gone(pids) == []
    assert stubborn.pids() == []


@pytest.mark.slow
def test_stop_may_be_called_twice(stubborn: Child) -> None:
    stubborn.stop()
    stubborn.stop()
    assert stubborn.exit_status == 128 + signal.SIGKILL


def test_no_descendant_survives_a_starter_killed_by_sigkill(tmp_path: Path) -> None:
    script = f"""
import os, signal, time
from pathlib import Path
from stack.runtime.process import Child
child = Child.start("x", ["bash", "-c", {STUBBORN_TREE!r}], log=Path({str(tmp_path / "log")!r}), grace_s=0.3)
child.wait_ready(lambda: len(child.pids()) >= 5, timeout_s=10)
print(*child.pids(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    pids = [int(pid) for pid in done.stdout.split()]
    assert done.returncode == -signal.SIGKILL
    assert len(pids) >= 5
    assert wait_gone(pids) == []


def test_a_child_that_ends_early_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = Child.start("engine", [*BASH, "echo 'OSError: no space'; echo bye; exit 3"], log=tmp_path / "log")
    with pytest.raises(ChildError, match=r"engine ended with status 3 before it was ready: OSError: no space \(log: "):
        child.wait_ready(lambda: False, timeout_s=10)
    child.stop()


def test_a_command_that_does_not_exist_is_told_by_name(tmp_path: Path) -> None:
    child = Child.start("x", ["/no/such/command"], log=tmp_path / "log")
    with pytest.raises(ChildError, match="cannot start /no/such/command"):
        child.wait_ready(lambda: False, timeout_s=10)
    child.stop()


def test_what_a_command_left_behind_ends_with_it(tmp_path: Path) -> None:
    child = Child.start("x", [*BASH, "setsid sleep 300 & echo $! > pid"], log=tmp_path / "log", cwd=tmp_path)
    deadline = time.monotonic() + 10
    while child.exit_status is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert child.exit_status == 0
    assert not alive(int((tmp_path / "pid").read_text()))
    child.stop()


def test_a_child_does_not_see_the_ctrl_c_of_our_terminal(stubborn: Child) -> None:
    assert os.getsid(stubborn.pids()[0]) != os.getsid(0)


def test_memory_counts_the_whole_tree(stubborn: Child) -> None:
    whole = stubborn.memory_bytes()
    assert 0 < tree_memory_bytes(stubborn.pids()[-1]) < whole
    assert set(stubborn.pids()[1:]) == set(descendants(stubborn.pids()[0]))


def test_a_full_log_is_renamed_and_nothing_of_it_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.runtime.process.LOG_BYTES", 4000)
    child = Child.start("talker", [*BASH, "seq -f 'line %g' 300; sleep 0.3; seq -f 'line %g' 301 600"], log=tmp_path / "log")
    while child.exit_status is None:
        time.sleep(0.05)
    child.stop()
    logs = sorted(tmp_path.glob("log*"), reverse=True)  # the oldest has the highest number
    assert [log.name for log in logs] == ["log.1", "log"]
    assert "".join(log.read_text() for log in logs).splitlines() == [f"line {number}" for number in range(1, 601)]
    assert all(log.stat().st_size <= 4000 for log in logs)
