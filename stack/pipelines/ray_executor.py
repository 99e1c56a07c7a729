"""Shard tasks on Ray Core (edge): a small cluster of this run's own, on loopback, with token authentication."""

import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from stack.pipelines import ray_head
from stack.pipelines.errors import PipelineError
from stack.runtime.errors import StackproofError
from stack.runtime.files import write_atomic
from stack.runtime.process import Child

T = TypeVar("T")
R = TypeVar("R")

CPUS = 2
START_TIMEOUT_S = 120.0
TOKEN = "token"  # noqa: S105  # a file name
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    # The first failure is told in one line; those of its neighbours would be told by Ray as tracebacks.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # Ray replaces 127.0.0.1 by the machine's address and listens on every interface, unless this is off.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


class RayExecutor:
    """A context manager; the cluster starts with the first task, so that a run with nothing left to do pays nothing."""

    def __init__(self, *, logs: Path, workers: int = CPUS) -> None:
        self.workers = workers
        self._logs = logs
        self._stack = ExitStack()
        self._started = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._stop()

    def map(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        """A task is tried again only when its worker died; what it raises itself ends the run, and the cluster with it."""
        if not tasks:
            return
        if not self._started:
            self._start()
        import ray
        from ray.exceptions import RayError, RayTaskError

        remote = ray.remote(num_cpus=1, max_retries=3)(work)
        waiting = list(reversed(tasks))
        running: list[ray.ObjectRef] = []
        try:
            while waiting or running:
                # Twice as many as run: the next one is at hand, and the rest stays out of the object store.
                while waiting and len(running) < 2 * self.workers:
                    running.append(remote.remote(waiting.pop()))
                (done,), running = ray.wait(running, num_returns=1)
                yield ray.get(done)
        except RayTaskError as error:
            if isinstance(error.cause, StackproofError):
                raise error.cause from None
            raise
        except RayError as error:
            raise PipelineError(
                f"Ray lost a shard task for good ({type(error).__name__}): see {self._logs}, then run the same command again to go on"
            ) from error
        finally:
            if running:
                # Not `ray.cancel`: in Ray 2.60 a reply that crosses a cancellation aborts this process.
                self._stop()

    def _stop(self) -> None:
        self._started = False
        self._stack.close()

    def _start(self) -> None:
        # In the system's temporary folder: Ray's socket paths must stay under 108 bytes, and the token out of the output.
        folder = Path(tempfile.mkdtemp(prefix="stackproof-ray-"))
        write_atomic(folder / TOKEN, _token(), mode=0o600)
        settings = {**SETTINGS, "RAY_AUTH_TOKEN_PATH": str(folder / TOKEN)}
        inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        command = [sys.executable, "-m", ray_head.__name__, str(folder), str(self._logs.resolve() / "ray"), str(self.workers)]
        child = Child.start("Ray", command, log=self._logs / "ray-head.log", env={**inherited, **settings})
        self._stack.callback(child.stop)
        child.wait_ready((folder / ray_head.ADDRESS).exists, timeout_s=START_TIMEOUT_S)
        self._stack.enter_context(_environment(settings))
        import ray

        before = signal.getsignal(signal.SIGTERM)
        ray.init(address=(folder / ray_head.ADDRESS).read_text(), log_to_driver=False, logging_level="ERROR")
        self._stack.callback(ray.shutdown)
        if threading.current_thread() is threading.main_thread():
            # Ray takes SIGTERM for itself there; ours unwinds every `with` on the way.
            signal.signal(signal.SIGTERM, before)
        self._started = True


@cache
def _token() -> str:
    """One per process: Ray's own code reads it once and keeps it, whatever file it is pointed at later."""
    return secrets.token_hex(32)


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
