"""One worker of several: `python -m bench.load.worker SOCKET`, or a thread in a Ray actor (edge)."""

import asyncio
import contextlib
import socket
import sys
import time
from dataclasses import asdict
from multiprocessing.connection import Client, Connection
from pathlib import Path

import uvloop

from bench.errors import BenchError
from bench.load.endpoint import Endpoint
from bench.load.generator import LoadRun
from bench.load.messages import Done, Failed, Go, Order, Ready, Stop, Tick, read, write
from bench.load.progress import Progress
from bench.load.requests import Job
from bench.load.share import Share
from bench.load.spool import Spool
from bench.load.undisturbed import undisturbed


def boot_id() -> str:
    """Equal on two processes whose monotonic clocks are one and the same."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def work(leader: Connection) -> None:
    """Take an order and the key from the leader, connect, wait for the word, and send the load; the spool holds what came of it."""
    called_ns = time.monotonic_ns()
    order = read(leader.recv_bytes())
    key = leader.recv_bytes().decode() or None
    if not isinstance(order, Order):
        raise TypeError(f"a worker's first message is its order, not {order.kind}")
    spool = Spool(Path(order.spool))
    try:
        with undisturbed(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(_work(leader, order, key, spool, called_ns))
    except BenchError as error:
        leader.send_bytes(write(Failed(message=str(error))))
    finally:
        with contextlib.suppress(OSError):  # a full disk has been told of already
            spool.close()


async def _work(leader: Connection, order: Order, key: str | None, spool: Spool, called_ns: int) -> None:
    loop = asyncio.get_running_loop()
    endpoint = Endpoint.parse(order.url, api_key=key, ca_file=Path(order.ca_file) if order.ca_file else None)
    job = Job(workload=order.workload, seed=order.seed, run_id=order.run_id, tell_latencies=order.tell_latencies, share=Share(order.worker, order.workers))
    load = LoadRun(job, endpoint, spool)
    go: asyncio.Future[int] = loop.create_future()

    def hear() -> None:
        try:
            message = read(leader.recv_bytes())
        except (EOFError, OSError):  # the leader is gone
            loop.remove_reader(leader.fileno())
            message = Stop(state="interrupted", reason="the leader of the run is gone")
        if isinstance(message, Go):
            go.set_result(message.begin_ns)
        elif isinstance(message, Stop):
            if message.state == "complete":
                load.finish()
            else:
                load.stop(message.state, message.reason)
            if not go.done():
                go.set_result(0)

    async def report(progress: Progress) -> None:
        leader.send_bytes(write(Tick(**asdict(progress))))

    await load.prepare()
    loop.add_reader(leader.fileno(), hear)
    leader.send_bytes(write(Ready(host=socket.gethostname(), boot_id=boot_id())))
    done = await load.run(begin_ns=await go, called_ns=called_ns, report=report)
    loop.remove_reader(leader.fileno())
    spool.flush()
    leader.send_bytes(write(Done(started_ns=done.started_ns, state=done.state, reason=done.reason, health=done.health)))


if __name__ == "__main__":
    with Client(sys.argv[1], family="AF_UNIX") as connection:
        work(connection)
