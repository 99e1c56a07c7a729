"""The process that asks every source once a second while a run lasts: `python -m bench.system.sampler OPTIONS`, as `SystemWatch` starts it.

It appends what it reads to the samples file, and listens on a named pipe for lines of progress and for `end`, upon which it takes
a last sample of everything and leaves. It is nicer than others, so that it waits rather than the load generator.
"""

import asyncio
import ipaddress
import os
import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import psutil

from bench.system.address import Page
from bench.system.host import AcceleratorReader, CpuEnergyReader, HostReader
from bench.system.http import Caller
from bench.system.live import LiveMetrics
from bench.system.protocol import END, READ_TIMEOUT_S, SETTLE_S, Options
from bench.system.readings import Line, Reading, Source, UnreadableError, Writer
from bench.system.scrape import parse_page

NICE = 10


class Sampler:
    """Each source in a rhythm of its own, so that one that hangs holds up no other."""

    def __init__(self, options: Options, writer: Writer, live: LiveMetrics) -> None:
        self._options = options
        self._writer = writer
        self._live = live
        self._over = asyncio.Event()
        self._buffer = b""

    async def run(self) -> None:
        """Until `end` comes down the pipe."""
        pipe = os.open(self._options.progress, os.O_RDONLY | os.O_NONBLOCK)
        shutil.rmtree(Path(self._options.progress).parent, ignore_errors=True)  # both ends are open: its name must not outlive us
        asyncio.get_running_loop().add_reader(pipe, self._hear, pipe)
        Thread(target=self._tell_where_server_is, daemon=True).start()  # a name server may take its time
        # One thread a source: of those, one that hangs in a driver keeps the others free.
        sources: dict[Source, Callable[[], tuple[Reading, ...]]] = {
            "host": HostReader().read,
            "accelerator": AcceleratorReader().read,
            "energy": CpuEnergyReader().read,
        }
        await asyncio.gather(
            self._repeat("engine", self._engine_reader()),
            *(self._repeat(source, in_thread(read)) for source, read in sources.items()),
        )

    def _engine_reader(self) -> Callable[[], Awaitable[tuple[Reading, ...]]]:
        options = self._options
        caller: Caller | None = None

        async def read() -> tuple[Reading, ...]:
            nonlocal caller
            if caller is None:
                key_file, ca_file = (None if name is None else Path(name) for name in (options.key_file, options.ca_file))
                caller = Caller(Page(options.metrics_url, key_file, ca_file))
            status, body = await caller.ask(timeout_s=READ_TIMEOUT_S)
            if status != 200:
                raise UnreadableError(f"HTTP {status}")
            return parse_page(body)

        return read

    async def _repeat(self, source: Source, read: Callable[[], Awaitable[tuple[Reading, ...]]]) -> None:
        started = time.monotonic()
        while True:
            last = self._over.is_set()
            t_ns = time.monotonic_ns()
            try:
                readings, failed = await read(), ""
            except UnreadableError as error:
                readings, failed = (), str(error)
            except Exception as error:  # nothing a source does may end the watch; the reason is kept
                readings, failed = (), f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            line = Line(t_ns, source, readings, failed)
            self._writer.write(line)
            self._live.sampled(line)
            if last or (failed and self._over.is_set()):
                return
            missed = int((time.monotonic() - started) / self._options.every_s) + 1
            try:
                async with asyncio.timeout(started + missed * self._options.every_s - time.monotonic()):
                    await self._over.wait()
                    await asyncio.sleep(SETTLE_S)
            except TimeoutError:
                continue

    def _hear(self, pipe: int) -> None:
        self._buffer += os.read(pipe, 1 << 16)
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            if line == END:
                asyncio.get_running_loop().remove_reader(pipe)
                self._over.set()
            else:
                self._live.heard(line)

    def _tell_where_server_is(self) -> None:
        self._writer.about(same_host=is_this_host(self._options.server_host))


def in_thread(read: Callable[[], tuple[Reading, ...]]) -> Callable[[], Awaitable[tuple[Reading, ...]]]:
    """`read` in a thread of its own; while a call hangs, no second one is begun."""
    pool = ThreadPoolExecutor(max_workers=1)
    pending: Future[tuple[Reading, ...]] | None = None

    async def ask() -> tuple[Reading, ...]:
        nonlocal pending
        if pending is not None and not pending.done():
            raise UnreadableError("still waiting for the answer before")
        pending = pool.submit(read)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await asyncio.shield(asyncio.wrap_future(pending))
        except TimeoutError:
            raise UnreadableError(f"no answer within {READ_TIMEOUT_S:g} s") from None

    return ask


def is_this_host(name: str) -> bool | None:
    """Whether `name` is an address of this machine; None when it does not resolve. A tunnel on loopback passes for this machine."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(name, None)}
    except OSError:
        return None
    own = {address.address.partition("%")[0] for addresses in psutil.net_if_addrs().values() for address in addresses}
    return all(str(address) in own or ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def main() -> None:
    options = Options.from_json(sys.argv[1])
    os.nice(NICE)
    live = LiveMetrics()
    with open(options.samples, "a", encoding="utf-8") as stream:  # noqa: PTH123
        writer = Writer(stream)
        if options.prometheus_port is not None:
            try:
                live.serve(options.prometheus_port)
            except OSError as error:
                writer.about(live_failed=f"port {options.prometheus_port}: {error.strerror}")
        asyncio.run(Sampler(options, writer, live).run())
    sys.stdout.flush()
    os._exit(0)  # threads that hang in a driver are not waited for


if __name__ == "__main__":
    main()
