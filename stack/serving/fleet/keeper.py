"""One child process kept running: started, watched, started again after it died (edge: one thread)."""

import threading
import time
from collections.abc import Callable
from enum import StrEnum

from stack.runtime.errors import StackproofError
from stack.runtime.process import Child
from stack.serving.fleet.backoff import Backoff

WATCH_S = 0.2


class State(StrEnum):
    """What a kept process does."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    """Finishes what it has; new requests go elsewhere."""
    WAITING = "waiting to start again"
    FAILED = "failed"
    """Given up: it died too often in a row, or never started."""
    STOPPED = "stopped"


class _EndingError(Exception):
    """The keeper was told to end while its process started."""


Start = Callable[[Callable[[], None]], Child]
"""Starts a process and returns when it is ready; calls what it is given often meanwhile. StackproofError when it does not come up."""


class Keeper:
    """Runs `start`, and again whenever its process has died. `changed` is called after every change of `state`, from the keeper's thread."""

    def __init__(self, name: str, start: Start, *, explain: Callable[[Child], str | None], changed: Callable[[], None]) -> None:
        self.name, self._start, self._explain, self._changed = name, start, explain, changed
        self.state = State.STARTING
        self.since = time.time()
        self.restarts = 0
        """Times it was started again, asked to or not."""
        self.last_error: str | None = None
        self.started_in_s: float | None = None
        """From start to ready, the last time."""
        self.child: Child | None = None
        self._ending, self._again = threading.Event(), threading.Event()
        self._backoff = Backoff()
        self._was_ready = False
        self._thread = threading.Thread(target=self._keep, name=f"keeper of {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def drain(self) -> None:
        """Only says so: whoever watches `state` sends no more requests."""
        if self.state is State.READY:
            self._set(State.DRAINING)

    def restart(self) -> None:
        """Stop the process and start it again, without waiting."""
        self._again.set()

    def stop(self) -> None:
        """End the process and the keeper; safe to call twice."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait(self, tick: Callable[[], None]) -> None:
        """Until it is ready; StackproofError when it is given up."""
        while self.state not in {State.READY, State.DRAINING}:
            self.raise_if_failed()
            tick()
            time.sleep(WATCH_S)

    def raise_if_failed(self) -> None:
        if self.state is State.FAILED:
            raise StackproofError(self.last_error or f"{self.name} failed")

    def _keep(self) -> None:
        while not self._ending.is_set():
            self._set(State.STARTING)
            begun = time.monotonic()
            try:
                self.child = self._start(self._tick)
            except _EndingError:
                break
            except StackproofError as error:
                if not self._failed(str(error), ready_for_s=None):
                    return
                continue
            self.started_in_s, self._was_ready = time.monotonic() - begun, True
            ready_at = time.monotonic()
            self._set(State.READY)
            why = self._watch(self.child)
            if why is not None and not self._failed(why, ready_for_s=time.monotonic() - ready_at):
                return
            self.restarts += 1
        if self.child is not None:
            self.child.stop()
        self._set(State.STOPPED)

    def _tick(self) -> None:
        if self._ending.is_set():
            raise _EndingError

    def _watch(self, child: Child) -> str | None:
        """Why it died; None when it was told to end or to start again."""
        while child.exit_status is None:
            if self._ending.wait(WATCH_S):
                return None
            if self._again.is_set():
                self._again.clear()
                self._set(State.STARTING)
                child.stop()
                return None
        return self._explain(child) or f"{self.name} ended with status {child.exit_status}: {child.last_words()} (log: {child.log})"

    def _failed(self, why: str, *, ready_for_s: float | None) -> bool:
        """Wait for the next try; False when there is none. One that has never come up is not tried again: its fault will not pass."""
        self.last_error = why
        delay_s = self._backoff.failed(ready_for_s=ready_for_s) if self._was_ready else None
        if delay_s is None:
            self._set(State.FAILED)
            return False
        self._set(State.WAITING)
        self._ending.wait(delay_s)
        return True

    def _set(self, state: State) -> None:
        if state is not self.state:
            self.state, self.since = state, time.time()
        self._changed()
