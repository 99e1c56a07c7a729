"""Ray for one run (edge): a small cluster of its own on loopback with token authentication, or the one that RAY_ADDRESS names."""

import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.runtime import ray_head
from stack.runtime.errors import StackproofError
from stack.runtime.files import write_atomic
from stack.runtime.net import silence
from stack.runtime.process import Child

START_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 10.0
TOKEN = "token"  # noqa: S105  # a file name
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    # The first failure is told in one line; those of its neighbours would be told by Ray as tracebacks.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    # Ray replaces 127.0.0.1 by the machine's address and listens on every interface, unless this is off.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


class RayClusterError(StackproofError):
    """The cluster that RAY_ADDRESS names cannot be used; the message says why."""


def given_address() -> str | None:
    """The address of a cluster that runs already, as Ray's own tools read it (RAY_ADDRESS); None for one of our own."""
    address = os.environ.get("RAY_ADDRESS", "")
    return None if address in {"", "local"} else address


class LocalRay:
    """A context manager around `start`, which connects this process; what was started ends with it."""

    def __init__(self, *, logs: Path, cpus: int) -> None:
        self._logs = logs
        self._cpus = cpus
        self._stack = ExitStack()
        self.started = False
        self.dashboard: str | None = None
        """Host and port of the cluster's dashboard; None where it has none, as one of our own."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Safe to call twice; `start` may be called again."""
        self.started = False
        self._stack.close()

    def start(self) -> None:
        """Takes a few seconds; ChildError when Ray does not come up.

        RuntimeError where `ray` was imported before: its native part reads the settings once, when it is loaded, and would wait for ever.
        """
        _require_first_import()
        # In the system's temporary folder: Ray's socket paths must stay under 108 bytes, and the token out of the output.
        folder = Path(tempfile.mkdtemp(prefix="stackproof-ray-"))
        write_atomic(folder / TOKEN, _token(), mode=0o600)
        settings = {**SETTINGS, "RAY_AUTH_TOKEN_PATH": str(folder / TOKEN)}
        inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        command = [sys.executable, "-m", ray_head.__name__, str(folder), str(self._logs.resolve() / "ray"), str(self._cpus)]
        child = Child.start("Ray", command, log=self._logs / "ray-head.log", env={**inherited, **settings})
        self._stack.callback(child.stop)
        child.wait_ready((folder / ray_head.ADDRESS).exists, timeout_s=START_TIMEOUT_S)
        self._stack.enter_context(_environment(settings))
        self.connect((folder / ray_head.ADDRESS).read_text())

    def join(self, address: str) -> None:
        """As `connect`, to a cluster that RAY_ADDRESS names; RayClusterError, in one line, where that fails."""
        if (why := silence(address, timeout_s=ANSWER_TIMEOUT_S)) is not None:
            raise RayClusterError(f"RAY_ADDRESS: no cluster answers at {address} ({why}): unset it for a cluster of this run's own")
        self._stack.enter_context(_environment({"RAY_IGNORE_UNHANDLED_ERRORS": SETTINGS["RAY_IGNORE_UNHANDLED_ERRORS"]}))
        try:
            self.connect(address)
        except (ConnectionError, RuntimeError, ValueError) as error:
            self.stop()
            told = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise RayClusterError(f"RAY_ADDRESS: the cluster at {address} cannot be used ({told}): is RAY_AUTH_TOKEN its token?") from error

    def connect(self, address: str) -> None:
        """To a cluster that runs already; it goes on when this ends."""
        import ray

        before = signal.getsignal(signal.SIGTERM)
        context = ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        self.dashboard = context.dashboard_url or None
        self._stack.callback(ray.shutdown)
        if threading.current_thread() is threading.main_thread():
            # Ray takes SIGTERM for itself there; ours unwinds every `with` on the way.
            signal.signal(signal.SIGTERM, before)
        self.started = True


def _require_first_import() -> None:
    """Loaded once under our settings, Ray may be started again."""
    if "ray" in sys.modules and not _token.cache_info().currsize:
        raise RuntimeError("ray was imported before LocalRay.start: import it inside functions that run later")


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
