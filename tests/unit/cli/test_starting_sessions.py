"""A session that is still starting is shown, hides no other, and can be stopped."""

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stack.cli.main import app
from stack.runtime.errors import StackproofError
from stack.serving.fleet import find_sessions
from stack.serving.fleet.status import LOCK_FILE, STATUS_FILE, Holder, PartStatus, SessionStatus, is_locked, locked, read_holder, write_status

HOLD = """
import sys, time, typer
from pathlib import Path
from stack.cli import main
from stack.serving.fleet.status import locked
other = typer.Typer()
@other.command()
def hold(folder: Path, supervised: bool) -> None:
    with locked(folder, supervised=supervised):
        print("locked", flush=True)
        time.sleep(60)
main.app = other
main.main()
"""


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sessions are looked for: nobody else's are there."""
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path))
    return tmp_path / "sessions"


def folder_of(sessions: Path, port: int) -> Path:
    folder = sessions / str(port)
    folder.mkdir(parents=True)
    return folder


def become_ready(folder: Path) -> None:
    parts = (PartStatus(name="engine", kind="engine", state="ready", since=time.time(), model="m"),)
    write_status(SessionStatus(pid=os.getpid(), written=time.time(), gateway_url=f"http://x:{folder.name}", api_key_file="k", run_dir=str(folder), parts=parts))


@contextmanager
def held(folder: Path, *, supervised: bool) -> Iterator[subprocess.Popen[str]]:
    """A process that has the folder and goes on SIGTERM as `stackproof serve` does."""
    command = [sys.executable, "-c", HOLD, str(folder), str(supervised)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_session_that_is_starting_hides_no_other(sessions: Path) -> None:
    ready, starting = folder_of(sessions, 8001), folder_of(sessions, 8000)
    with locked(ready, supervised=True), locked(starting, supervised=True):
        become_ready(ready)
        shown = call("status")
        told = {Path(each["run_dir"]): each for each in json.loads(call("status", "--json").stdout)}
    assert shown.exit_code == 1  # not all of it is ready
    assert "http://x:8001" in shown.stdout
    assert f"starting  pid {os.getpid()}, for 0 min 0 s, logs in {starting}" in shown.stdout.splitlines()
    assert {folder: (each["state"], each["ready"], each["pid"]) for folder, each in told.items()} == {
        ready: ("serving", True, os.getpid()),
        starting: ("starting", False, os.getpid()),
    }


def test_a_session_that_cannot_be_read_is_told_beside_the_others(sessions: Path) -> None:
    ready, other = folder_of(sessions, 8001), folder_of(sessions, 8000)
    with locked(ready, supervised=True), locked(other, supervised=True):
        become_ready(ready)
        (other / STATUS_FILE).write_text("{}")
        shown = call("status")
    assert (shown.exit_code, "http://x:8001" in shown.stdout) == (1, True)  # nobody knows whether all is ready
    assert f"{other / STATUS_FILE} is of another version" in shown.stderr


def test_of_a_session_that_is_starting_nobody_says_that_nothing_is_served(sessions: Path) -> None:
    folder = folder_of(sessions, 8000)
    with locked(folder, supervised=True):
        assert call("status", "--run-dir", str(folder)).stdout.startswith("starting  pid")
        with pytest.raises(StackproofError, match=rf"still starting \(pid {os.getpid()}\): wait until"):
            call("restart", "--run-dir", str(folder))
    with pytest.raises(StackproofError, match="nothing is served from here"):
        call("status", "--run-dir", str(folder))


def test_a_status_that_a_killed_session_left_is_not_taken_for_the_next_ones(sessions: Path) -> None:
    folder = folder_of(sessions, 8000)
    become_ready(folder)
    with pytest.raises(StackproofError, match="has ended: start it again"):
        call("status", "--run-dir", str(folder))
    with locked(folder, supervised=True):
        assert call("status", "--run-dir", str(folder)).stdout.startswith("starting  pid")


@pytest.mark.slow
def test_a_session_that_is_starting_is_stopped_in_order(sessions: Path) -> None:
    folder = folder_of(sessions, 8000)
    with held(folder, supervised=True) as process:
        holder = read_holder(folder)
        assert (holder and (holder.pid, holder.supervised)) == (process.pid, True)
        assert call("stop", "--run-dir", str(folder)).exit_code == 0
        assert not is_locked(folder)
        assert process.wait(timeout=20) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    with pytest.raises(StackproofError, match="nothing is served from here"):
        call("stop", "--run-dir", str(folder))


def test_a_programs_own_session_is_not_listed_and_not_stopped(sessions: Path) -> None:
    folder = folder_of(sessions, 8000)
    with held(folder, supervised=False) as process:
        assert find_sessions() == ()
        for command in ("status", "stop"):
            with pytest.raises(StackproofError, match=rf"is used by process {process.pid}, which tells nothing of itself"):
                call(command, "--run-dir", str(folder))
        assert process.poll() is None


def test_who_looks_at_a_lock_keeps_nobody_from_taking_it(sessions: Path) -> None:
    folder = folder_of(sessions, 8000)
    looking = (folder / LOCK_FILE).open("w")
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.03, looking.close).start()
    with locked(folder):
        assert looking.closed


def test_a_folder_known_under_two_ports_is_one_session(sessions: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    sessions.mkdir()
    for port in ("8000", "8001"):  # the first was killed before it took its link away
        (sessions / port).symlink_to(folder)
    with locked(folder, supervised=True):
        assert find_sessions() == (folder,)


def test_a_file_in_the_place_of_a_run_folder_is_one_line(sessions: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for command in ("status", "stop", "restart"):
        with pytest.raises(StackproofError, match="nothing is served from here"):
            call(command, "--run-dir", str(tmp_path / "file"))


def test_a_lock_that_does_not_say_whose_it_is_stops_nobody(sessions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.serving.fleet.status.WRITTEN_WITHIN_S", 0.1)
    folder = folder_of(sessions, 8000)
    with locked(folder, supervised=True):
        (folder / LOCK_FILE).write_text("")
        with pytest.raises(StackproofError, match="does not say which process has it"):
            call("stop", "--run-dir", str(folder))


def test_the_lock_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    assert Holder.model_validate_json('{"pid": 7, "since": 1.5}') == Holder(pid=7, since=1.5, supervised=False)
