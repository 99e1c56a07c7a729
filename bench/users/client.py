"""One user's connection: sends a request, stamps each read from the socket, and keeps the bytes (edge).

Plain blocking sockets. Under gevent, which patches `socket` and `ssl`, waiting for one lets the other users of the process go on.
"""

import socket
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Any

import httptools

from bench.load.endpoint import Endpoint
from bench.load.exchange import Outcome

READ_BYTES = 1 << 16


@dataclass
class Reply:
    """A request and its raw answer as it comes in; stamps in ns of the monotonic clock. Cancelled is what it is until it is over."""

    sent_ns: int | None = None
    closed_ns: int = 0
    outcome: Outcome = Outcome.CANCELLED
    detail: str = ""
    resent: bool = False
    reads: list[tuple[int, bytes]] = field(default_factory=list)


class Connection:
    """At most one open connection, kept alive from one request to the next."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_ns = round(timeout_s * 1e9)
        self._socket: socket.socket | None = None

    def ask(self, payload: bytes, reply: Reply) -> None:
        """Send a request and read its answer into `reply`, whose outcome says how that ended; no fault of the network is raised.

        A kept connection that the server closes just as it is used again is replaced once.
        """
        deadline_ns = monotonic_ns() + self._timeout_ns
        kept = self._socket is not None
        try:
            self._exchange(payload, reply, deadline_ns)
            if kept and reply.outcome is Outcome.CLOSED_EARLY and not reply.reads:
                self.close()
                reply.resent = True
                self._exchange(payload, reply, deadline_ns)
        finally:
            reply.closed_ns = monotonic_ns()
            if reply.outcome is not Outcome.COMPLETE:
                self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, payload: bytes, reply: Reply, deadline_ns: int) -> None:
        try:
            if self._socket is None:
                self._socket = self._connect(deadline_ns)
        except TimeoutError:
            reply.outcome, reply.detail = Outcome.TIMEOUT, "no connection in time"
            return
        except OSError as error:
            reply.outcome, reply.detail = Outcome.REFUSED, f"cannot connect: {error.strerror or error}"
            return
        try:
            reply.outcome = self._talk(self._socket, payload, reply, deadline_ns)
            reply.detail = "the server closed the connection" if reply.outcome is Outcome.CLOSED_EARLY else ""
        except TimeoutError:
            reply.outcome, reply.detail = Outcome.TIMEOUT, "not over in time"
        except OSError as error:
            reply.outcome, reply.detail = Outcome.CLOSED_EARLY, error.strerror or str(error)
        except httptools.HttpParserError as error:
            reply.outcome, reply.detail = Outcome.NOT_HTTP, str(error)

    def _connect(self, deadline_ns: int) -> socket.socket:
        plain = socket.create_connection((self._endpoint.host, self._endpoint.port), timeout=_left_s(deadline_ns))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._endpoint.tls is None:
            return plain
        try:
            return self._endpoint.tls.wrap_socket(plain, server_hostname=self._endpoint.host)
        except BaseException:
            plain.close()
            raise

    def _talk(self, connected: socket.socket, payload: bytes, reply: Reply, deadline_ns: int) -> Outcome:
        message = _Message()
        connected.settimeout(_left_s(deadline_ns))
        reply.sent_ns = monotonic_ns()
        connected.sendall(payload)
        while True:
            connected.settimeout(_left_s(deadline_ns))
            data = connected.recv(READ_BYTES)
            now = monotonic_ns()
            if not data:
                return Outcome.CLOSED_EARLY
            reply.reads.append((now, data))
            message.feed(data)
            if message.complete:
                if not message.keep_alive:
                    self.close()
                return Outcome.COMPLETE


class _Message:
    """Where an answer ends; informational ones (1xx) come before the real one."""

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self.complete = False
        self.keep_alive = False

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.complete = self._parser.get_status_code() >= 200
        self.keep_alive = self._parser.should_keep_alive()


def _left_s(deadline_ns: int) -> float:
    """Seconds to the deadline; TimeoutError after it (0 would mean not to block at all)."""
    left_ns = deadline_ns - monotonic_ns()
    if left_ns <= 0:
        raise TimeoutError
    return left_ns / 1e9
