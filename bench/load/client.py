"""Sends exchanges over kept-alive connections and hands each one back when it is over (edge)."""

import asyncio
import errno
import ssl
from collections.abc import Callable
from time import monotonic_ns

from bench.load.connection import Connection
from bench.load.endpoint import Endpoint
from bench.load.exchange import Exchange, Outcome

OUR_LIMITS = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM)
"""Why a connection could not be had that are no fault of the server."""

MOST_CONNECTING = 256
"""Connections being opened at once before the load begins: more would overrun a listen queue."""


class Client:
    """As many connections as there are requests in flight, and no limit: a request never waits for another's answer.

    `on_over` gets each exchange exactly once, with its outcome and `closed_ns` set, and whether the server answered it with 200.
    The owner calls `expire` now and then.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_s: float, on_over: Callable[[Exchange, bool], None]) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._on_over = on_over
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._busy: dict[Exchange, Connection | None] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        return len(self._busy)

    async def open(self, count: int) -> None:
        """Open `count` idle connections; OSError when the endpoint cannot be reached."""
        gate = asyncio.Semaphore(MOST_CONNECTING)

        async def one() -> Connection:
            async with gate:
                return await self._connect()

        self._idle += await asyncio.gather(*(one() for _ in range(count)))

    def send(self, exchange: Exchange) -> None:
        """Write the request on an idle connection, or on a new one as soon as that is open."""
        exchange.dispatched_ns = monotonic_ns()
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                connection.pooled = True
                self._busy[exchange] = connection
                connection.start(exchange)
                return
        self._send_on_new_connection(exchange)

    def expire(self) -> None:
        """End what is older than the time-out. Requests stand in the order in which they were sent: the first young one ends the search."""
        oldest_ns = monotonic_ns() - round(self._timeout_s * 1e9)
        late = []
        for exchange in self._busy:
            if exchange.dispatched_ns > oldest_ns:
                break
            late.append(exchange)
        for exchange in late:
            self._abandon(exchange, Outcome.TIMEOUT, f"no complete answer in {self._timeout_s:g} s")

    def cancel_all(self, why: str) -> None:
        """End every exchange in flight as cancelled."""
        for exchange in list(self._busy):
            self._abandon(exchange, Outcome.CANCELLED, why)

    async def close(self) -> None:
        """Close every connection."""
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for connection in self._idle:
            connection.drop()
        self._idle.clear()

    def _send_on_new_connection(self, exchange: Exchange) -> None:
        self._busy[exchange] = None
        task = self._loop.create_task(self._connect_and_start(exchange))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect_and_start(self, exchange: Exchange) -> None:
        try:
            connection = await self._connect()
        except OSError as error:
            if exchange in self._busy:
                outcome = Outcome.NO_FILE if error.errno in OUR_LIMITS else Outcome.REFUSED
                self._over(exchange, outcome, describe_connect_error(error), answered=False)
            return
        if exchange not in self._busy:  # it timed out or was cancelled meanwhile
            self._idle.append(connection)
        elif connection.alive:
            self._busy[exchange] = connection
            connection.start(exchange)
        else:
            self._over(exchange, Outcome.REFUSED, "the server closed the connection at once", answered=False)

    async def _connect(self) -> Connection:
        endpoint = self._endpoint
        server_name = endpoint.host if endpoint.tls else None
        _, connection = await self._loop.create_connection(
            lambda: Connection(self._ended), endpoint.host, endpoint.port, ssl=endpoint.tls, server_hostname=server_name
        )
        return connection

    def _ended(self, connection: Connection, exchange: Exchange, outcome: Outcome, detail: str) -> None:
        if outcome is Outcome.CLOSED_EARLY and connection.pooled and not exchange.reads and not exchange.resent:
            # The server closed an idle connection just as we wrote: no answer was begun, so once more on a fresh one.
            exchange.resent = True
            self._send_on_new_connection(exchange)
            return
        if connection.alive:
            self._idle.append(connection)
        self._over(exchange, outcome, detail, answered=connection.status == 200)

    def _abandon(self, exchange: Exchange, outcome: Outcome, detail: str) -> None:
        if connection := self._busy[exchange]:
            connection.drop()
        self._over(exchange, outcome, detail, answered=False)

    def _over(self, exchange: Exchange, outcome: Outcome, detail: str, *, answered: bool) -> None:
        exchange.closed_ns = exchange.stamps[-1] if outcome is Outcome.COMPLETE else monotonic_ns()
        exchange.outcome, exchange.detail = outcome, detail
        del self._busy[exchange]
        self._on_over(exchange, answered)


def describe_connect_error(error: OSError) -> str:
    """One phrase for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message} (--ca-file names the authority)"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__
