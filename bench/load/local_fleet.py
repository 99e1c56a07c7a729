"""Workers as processes of this machine (edge)."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, Listener
from pathlib import Path

from bench.load.fleet import START_TIMEOUT_S, LostError
from bench.load.messages import Order, write
from bench.load.spool import SpoolFile
from stack.runtime.process import Child, ChildError


class LocalChannel:
    """A Unix socket to a child process."""

    def __init__(self, connection: Connection, child: Child, spool: Path) -> None:
        self._connection = connection
        self._child = child
        self._spool = spool

    def send(self, data: bytes) -> None:
        try:
            self._connection.send_bytes(data)
        except OSError:
            raise LostError(self._child.last_words()) from None

    def receive(self) -> list[bytes]:
        packets = []
        try:
            while self._connection.poll():
                packets.append(self._connection.recv_bytes())
        except (EOFError, OSError):
            # What came before the end still counts; the next call tells that it is gone.
            if not packets:
                raise LostError(self._child.last_words()) from None
        return packets

    def clock_ns(self) -> int:
        return time.monotonic_ns()

    def fetch_spool(self) -> SpoolFile:
        return SpoolFile(self._spool)


@contextmanager
def local_workers(orders: list[Order], *, api_key: str | None, logs: Path) -> Iterator[list[LocalChannel]]:
    """Start a process for each order; all of them end with the context, and with this process however it ends."""
    with ExitStack() as stack:
        # In the system's temporary folder: a socket's path must stay under 108 bytes. Only we may enter it.
        folder = Path(tempfile.mkdtemp(prefix="stackproof-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        channels = []
        for order in orders:
            path = str(folder / f"worker{order.worker}")
            listener = stack.enter_context(Listener(path, family="AF_UNIX"))
            child = Child.start(f"worker {order.worker}", [sys.executable, "-m", "bench.load.worker", path], log=logs / f".worker.{order.worker}.log")
            stack.callback(child.stop)
            channels.append((listener, child, order))
        yield [_accept(listener, child, order, api_key) for listener, child, order in channels]


def _accept(listener: Listener, child: Child, order: Order, api_key: str | None) -> LocalChannel:
    # The listener's own accept has no time limit, and a child that dies would never call.
    waiting = listener._listener._socket  # type: ignore[attr-defined]
    waiting.settimeout(0.2)
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            connection = listener.accept()
            break
        except TimeoutError:
            if child.exit_status is not None or time.monotonic() > deadline:
                raise ChildError(f"worker {order.worker} did not start: {child.last_words()} (log: {child.log})") from None
    connection.send_bytes(write(order))
    connection.send_bytes((api_key or "").encode())
    assert isinstance(connection, Connection)
    return LocalChannel(connection, child, Path(order.spool))
