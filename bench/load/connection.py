"""One HTTP/1.1 connection that carries one exchange at a time (edge; the hot path of the client)."""

import asyncio
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, cast

import httptools

from bench.load.exchange import Exchange, Outcome

END_OF_BODY = b"\r\n\r\n"
SHORTEST_END = 8
"""A shorter read may hold only a part of the seven bytes that end a chunked body."""


class Connection(asyncio.Protocol):
    """Stamps each read as it comes in, keeps the bytes, and tells its owner when an answer ends or the connection is lost.

    The HTTP parser is not run on every read: once the head has said that the body is chunked, only a read that looks like the end of
    one is worth the time. It then gets all the bytes kept back, so what looks like an end and is none does no harm.
    """

    __slots__ = ("_chunked", "_complete", "_keep_alive", "_on_end", "_parsed", "_parser", "_transport", "exchange", "pooled", "status")

    def __init__(self, on_end: Callable[["Connection", Exchange, Outcome, str], None]) -> None:
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._complete = False
        self._keep_alive = False
        self._chunked = False
        self._parsed = 0
        self.exchange: Exchange | None = None
        self.pooled = False
        self.status = 0

    @property
    def alive(self) -> bool:
        """Whether it may carry another request."""
        return self._transport is not None and not self._transport.is_closing()

    def start(self, exchange: Exchange) -> None:
        """Write the request now: with no write buffer the bytes are at the kernel when `write` returns."""
        transport = cast(asyncio.Transport, self._transport)
        self.exchange = exchange
        self.status = 0
        self._chunked = False
        self._parsed = 0
        exchange.sent_ns = monotonic_ns()
        transport.write(exchange.payload)

    def drop(self) -> None:
        """Close at once; the exchange on it, if any, is no longer this connection's."""
        self.exchange = None
        if self._transport is not None:
            self._transport.abort()
        self._forget()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # uvloop otherwise defers a write to the end of the loop's turn, long after the `sent` stamp.
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        exchange = self.exchange
        if exchange is None:
            self.drop()
            return
        exchange.stamps.append(now)
        exchange.reads.append(data)
        if self._chunked and len(data) >= SHORTEST_END and data[-4:] != END_OF_BODY:
            return
        self._parse(exchange)

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self.exchange
        if exchange is not None and self._parser is not None:
            self._parse(exchange)
        self._forget()
        if self.exchange is not None:
            self._end(Outcome.CLOSED_EARLY, str(exc or "the server closed the connection"))

    def _parse(self, exchange: Exchange) -> None:
        """Give the parser what it has not seen yet."""
        reads = exchange.reads
        news = reads[self._parsed] if len(reads) == self._parsed + 1 else b"".join(reads[self._parsed :])
        self._parsed = len(reads)
        try:
            self._parser.feed_data(news)
        except httptools.HttpParserError as error:
            self._end(Outcome.NOT_HTTP, str(error))
            return
        if self._complete:
            self._complete = False
            self._end(Outcome.COMPLETE, "")
        elif not self._chunked and self.status:
            # Only the head may say so, and only a head that came in one piece is looked at: otherwise every read is parsed.
            head, end, _ = reads[0].partition(END_OF_BODY)
            self._chunked = bool(end) and b"transfer-encoding: chunked" in head.lower()

    def _forget(self) -> None:
        """The parser holds our methods: without this, only a garbage collection, which a run does without, would free us."""
        self._transport = self._parser = None

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        """Called by the parser inside `feed_data`; informational answers (1xx) come before the real one."""
        self._complete = self.status >= 200
        self._keep_alive = self._parser.should_keep_alive()  # forgotten once the parser is ready for the next message

    def _end(self, outcome: Outcome, detail: str) -> None:
        exchange = cast(Exchange, self.exchange)
        self.exchange = None
        if outcome is not Outcome.COMPLETE or not self._keep_alive:
            self.drop()
        self._on_end(self, exchange, outcome, detail)
