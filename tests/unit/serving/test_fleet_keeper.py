"""One process kept running, with real processes that live as long as the test wants."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack.runtime.errors import StackproofError
from stack.runtime.process import Child
from stack.serving.fleet import Keeper, State
from stack.serving.fleet.backoff import FIRST_S, LONGEST_S, MOST_FAILURES, STEADY_S, Backoff

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def wait_for(what: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    kept = Keeper("sleeper", lambda _: Child.start("sleeper", SLEEP, log=tmp_path / "log", grace_s=1), explain=lambda _: "it was killed", changed=lambda: None)
    kept.start()
    kept.wait(lambda: None)
    yield kept
    kept.stop()


def kill(keeper: Keeper) -> None:
    assert keeper.child is not None
    wait_for(lambda: keeper.child is not None and len(keeper.child.pids()) == 2)
    os.kill(keeper.child.pids()[1], signal.SIGKILL)


@pytest.mark.slow
def test_a_process_that_died_is_started_again_after_a_second(keeper: Keeper) -> None:
    kill(keeper)
    wait_for(lambda: keeper.state is State.WAITING)
    waiting_since = time.monotonic()
    assert keeper.last_error == "it was killed"
    wait_for(lambda: keeper.state is State.READY)
    assert time.monotonic() - waiting_since > 0.5 * FIRST_S
    assert keeper.restarts == 1


def test_a_restart_that_was_asked_for_is_no_failure(keeper: Keeper) -> None:
    first = keeper.child
    keeper.drain()
    assert keeper.state is State.DRAINING
    keeper.restart()
    wait_for(lambda: keeper.restarts == 1 and keeper.state is State.READY)
    assert keeper.child is not first
    assert keeper.last_error is None
    assert first is not None
    assert first.exit_status is not None


def test_stop_ends_the_process_whatever_it_does(keeper: Keeper) -> None:
    kill(keeper)
    wait_for(lambda: keeper.state is State.WAITING)
    keeper.stop()
    assert keeper.state is State.STOPPED
    keeper.stop()


def test_stop_ends_a_start_that_takes_long(tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()

    def start(tick: Callable[[], None]) -> Child:
        begun.set()
        try:
            while True:
                tick()
                time.sleep(0.01)
        finally:
            ended.set()

    kept = Keeper("slow", start, explain=lambda _: None, changed=lambda: None)
    kept.start()
    assert begun.wait(5)
    kept.stop()
    assert ended.is_set()
    assert kept.state is State.STOPPED


def test_one_that_never_came_up_is_not_tried_again() -> None:
    def start(_: Callable[[], None]) -> Child:
        raise StackproofError("no such model")

    kept = Keeper("wrong", start, explain=lambda _: None, changed=lambda: None)
    kept.start()
    with pytest.raises(StackproofError, match="no such model"):
        kept.wait(lambda: None)
    assert kept.state is State.FAILED
    kept.stop()


def test_waits_double_up_to_a_minute_and_end() -> None:
    backoff = Backoff()
    waits = [backoff.failed(ready_for_s=0.5) for _ in range(MOST_FAILURES + 1)]
    assert waits == [*(min(LONGEST_S, FIRST_S * 2**number) for number in range(MOST_FAILURES)), None]


def test_a_process_that_was_long_ready_begins_anew() -> None:
    backoff = Backoff(failures=MOST_FAILURES)
    assert backoff.failed(ready_for_s=STEADY_S) == FIRST_S
    assert backoff.failed(ready_for_s=None) == 2 * FIRST_S
