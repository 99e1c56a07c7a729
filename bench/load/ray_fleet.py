"""Workers as actors of a Ray cluster (edge): the one that RAY_ADDRESS names, or a small one of this run's own.

Each actor runs the same worker as a local process does, in a thread; the line to the leader goes through the actor's methods. Where
bench runs on another host, the package must be installed there too.
"""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.load.fleet import LostError
from bench.load.messages import Order, write
from bench.load.spool import SpoolFile
from stack.runtime.ray_cluster import LocalRay

ANSWER_TIMEOUT_S = 30.0
PIECE = 8 << 20


class _Actor:
    """The far end: a worker thread, and the leader's side of its line."""

    def __init__(self, order: str, api_key: str) -> None:
        from bench.load.worker import work

        self._line, far = Pipe()
        folder = Path(tempfile.mkdtemp(prefix="stackproof-bench-"))
        self._spool = folder / "spool"
        given = Order.model_validate_json(order)
        self._thread = threading.Thread(target=work, args=(far,), daemon=True)
        self._thread.start()
        self._line.send_bytes(write(given.model_copy(update={"spool": str(self._spool)})))
        self._line.send_bytes(api_key.encode())

    def send(self, data: bytes) -> None:
        self._line.send_bytes(data)

    def receive(self) -> tuple[list[bytes], bool]:
        """What the worker said since, and whether it still runs."""
        running = self._thread.is_alive()
        packets: list[bytes] = []
        with contextlib.suppress(EOFError):  # the worker is done and has hung up
            while self._line.poll():
                packets.append(self._line.recv_bytes())
        return packets, running

    def clock_ns(self) -> int:
        return time.monotonic_ns()

    def spool(self, offset: int) -> bytes:
        """The next piece of the spool; empty at its end, when the file is removed."""
        with self._spool.open("rb") as source:
            source.seek(offset)
            piece = source.read(PIECE)
        if not piece:
            self._spool.unlink()
            self._spool.parent.rmdir()
        return piece


class RayChannel:
    """A line to an actor; `spool` is where its samples go here."""

    def __init__(self, actor: Any, spool: Path) -> None:
        self._actor = actor
        self._spool = spool
        self._ended = False

    def send(self, data: bytes) -> None:
        self._ask(lambda: self._actor.send.remote(data))

    def receive(self) -> list[bytes]:
        if self._ended:
            raise LostError("its thread ended")
        packets: list[bytes]
        packets, running = self._ask(self._actor.receive.remote)
        self._ended = not running
        return packets

    def clock_ns(self) -> int:
        return int(self._ask(self._actor.clock_ns.remote))

    def fetch_spool(self) -> SpoolFile:
        with self._spool.open("wb") as out:
            while piece := self._ask(lambda: self._actor.spool.remote(out.tell())):
                out.write(piece)
        return SpoolFile(self._spool)

    def _ask(self, call: Callable[[], Any]) -> Any:
        import ray
        from ray.exceptions import RayError

        try:
            return ray.get(call(), timeout=ANSWER_TIMEOUT_S)
        except RayError as error:
            raise LostError(f"{type(error).__name__}: {str(error).splitlines()[0]}") from None


@contextmanager
def ray_workers(orders: list[Order], *, api_key: str | None, logs: Path) -> Iterator[list[RayChannel]]:
    """An actor for each order, spread over the nodes; they end with the context. BenchError where Ray is not installed."""
    if find_spec("ray") is None:
        raise BenchError("--engine ray: Ray is not installed: python scripts/bootstrap.py cpu")
    with LocalRay(logs=logs, cpus=len(orders)) as cluster:
        if address := os.environ.get("RAY_ADDRESS"):
            cluster.connect(address)
        else:
            cluster.start()
        import ray  # only now: its native part reads the environment that `start` sets, once, when it is loaded

        remote = ray.remote(_Actor)
        channels, actors = [], []
        try:
            for order in orders:
                actor = remote.options(num_cpus=1, scheduling_strategy="SPREAD", max_concurrency=1).remote(order.model_dump_json(), api_key or "")
                actors.append(actor)
                channels.append(RayChannel(actor, Path(order.spool)))
            yield channels
        finally:
            for actor in actors:
                ray.kill(actor)
