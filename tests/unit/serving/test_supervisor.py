"""What a session tells of its restarts, with a fleet that does as a test says."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from typer.testing import CliRunner

from stack.cli.main import app
from stack.runtime.errors import StackproofError
from stack.serving.errors import ServingError
from stack.serving.fleet import read_status
from stack.serving.fleet.status import locked
from stack.serving.policy import load_policy
from stack.serving.session import Session
from stack.serving.supervise import Supervisor

RestartAll = Callable[[Callable[[str], None]], None]


class Fleet:
    """`restart` is what a restart in turn does."""

    def __init__(self) -> None:
        self.restart: RestartAll = lambda _: None

    def restart_in_turn(self, _admin: object, *, longest_s: float, say: Callable[[str], None]) -> None:
        assert longest_s > 0
        self.restart(say)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Fleet]:
    """A session without engines whose status lies in `tmp_path`; SIGHUP restarts it."""
    fleet, over = Fleet(), threading.Event()
    session = SimpleNamespace(
        policy=load_policy(),
        run_dir=tmp_path,
        admin=Admin,
        pools=(),
        parts=(),
        keepers=(),
        fleet=fleet,
        check=lambda: None,
        gateway_url="http://x",
        api_key_file=tmp_path,
    )
    supervisor = Supervisor(cast(Session, session), lambda _: None)

    def look_after() -> None:
        while not over.wait(0.05):
            supervisor.turn()

    before = signal.signal(signal.SIGHUP, lambda *_: supervisor.restart_in_turn())
    thread = threading.Thread(target=look_after)
    with locked(tmp_path):
        supervisor.turn()
        thread.start()
        try:
            yield fleet
        finally:
            over.set()
            thread.join()
            signal.signal(signal.SIGHUP, before)


class Admin:
    def upstreams(self) -> dict[str, object]:
        return {}


def restart(folder: Path) -> None:
    CliRunner().invoke(app, ["restart", "--run-dir", str(folder)], catch_exceptions=False)


def test_a_restart_that_is_refused_at_once_is_told_with_its_reason_and_the_next_one_is_judged_anew(served: Fleet, tmp_path: Path) -> None:
    def refuse(_: Callable[[str], None]) -> None:
        raise ServingError("engine goes on as it is")

    served.restart = refuse
    for _ in range(2):
        with pytest.raises(StackproofError, match="the restart stopped: engine goes on as it is"):
            restart(tmp_path)
    assert read_status(tmp_path).restart_error == "engine goes on as it is"
    served.restart = lambda _: None
    restart(tmp_path)
    assert (read_status(tmp_path).restart_error, read_status(tmp_path).restarts_begun) == (None, 3)


@pytest.mark.slow
def test_what_a_restart_does_is_told_while_it_lasts(served: Fleet, tmp_path: Path) -> None:
    def slow(say: Callable[[str], None]) -> None:
        say("starting a new engine beside the old one")
        time.sleep(1)

    served.restart = slow
    result = CliRunner().invoke(app, ["restart", "--run-dir", str(tmp_path)], catch_exceptions=False)
    assert "starting a new engine beside the old one" in result.stderr
    assert read_status(tmp_path).restarting is None
    assert read_status(tmp_path).pid == os.getpid()
