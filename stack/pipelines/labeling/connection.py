"""A keep-alive HTTP/1.1 client for one server and one kind of request (edge).

A general client costs several times the processor time per request (benchmarks/endpoint_labeling.py), and labeling asks little else.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast
from urllib.parse import urlsplit

import httptools
import httpx

from stack.pipelines.errors import PipelineError
from stack.serving.trust import why_distrusted

CHAT_PATH = "/v1/chat/completions"
MAX_ANSWER_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Any status; `retry_after` as the header says it."""

    status: int
    body: bytes
    retry_after: str | None = None


class TransportError(Exception):
    """No answer came; `reason` is its class: refused (nobody listens), closed (in the middle), not_http, too_large."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class Transport(Protocol):
    """Carries one request; TransportError when no answer comes. The caller limits the time by cancelling it."""

    async def post(self, body: bytes) -> HttpAnswer: ...


class HttpTransport:
    """As many connections as are in use at once, used again, the last used first. Never a proxy, never a redirect."""

    def __init__(self, url: str, *, api_key: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        """`url` is the server's base address; PipelineError when it, or the key, cannot be sent."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as fault:
            raise PipelineError(f"--url {url}: {fault}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PipelineError(f"--url {url}: give an address such as http://127.0.0.1:8000")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise PipelineError("the API key file holds characters that no header may carry: it must be one line of ASCII")
        self._host, self._port = parts.hostname, port or (443 if parts.scheme == "https" else 80)
        self._tls = (tls or httpx.create_ssl_context(trust_env=False)) if parts.scheme == "https" else None
        authorization = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
        self._head = (
            f"POST {parts.path.rstrip('/')}{CHAT_PATH} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nAccept: application/json\r\n"
            f"Content-Type: application/json\r\n{authorization}Content-Length: "
        ).encode()
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._idle:
            connection.drop()
        self._idle.clear()

    async def post(self, body: bytes) -> HttpAnswer:
        payload = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        used = self._last_used()
        if used is not None:
            try:
                return await self._exchange(used, payload)
            except TransportError:
                # A server may close an idle connection just as it is used again: if it said nothing, ask once more on a new one.
                if used.heard:
                    raise
        return await self._exchange(await self._connect(), payload)

    def _last_used(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
        return None

    async def _connect(self) -> "_Connection":
        """PipelineError when the server is not to be trusted: that is no fault of the request, and another try would end the same."""
        loop = asyncio.get_running_loop()
        try:
            return (await loop.create_connection(_Connection, self._host, self._port, ssl=self._tls))[1]
        except OSError as fault:
            if distrust := why_distrusted(fault):
                raise PipelineError(f"endpoint {self._host}:{self._port}: {distrust}") from None
            raise TransportError("refused", str(fault) or type(fault).__name__) from None

    async def _exchange(self, connection: "_Connection", payload: bytes) -> HttpAnswer:
        try:
            answer = await connection.ask(payload)
        except BaseException:
            connection.drop()
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.drop()
        return answer


class _Connection(asyncio.Protocol):
    """One exchange at a time."""

    __slots__ = ("_answer", "_body", "_parser", "_retry_after", "_size", "_sized", "_status", "_transport", "heard", "reusable")

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self.reusable = False
        self.heard = False

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, payload: bytes) -> "asyncio.Future[HttpAnswer]":
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._size = self._status = 0
        self._retry_after: str | None = None
        self.heard = self.reusable = self._sized = False
        cast(asyncio.Transport, self._transport).write(payload)
        return self._answer

    def drop(self) -> None:
        """Close at once; a parser holds our methods, so it is forgotten too."""
        if self._transport is not None:
            self._transport.abort()
        self._transport = self._parser = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        if self._answer is None or self._answer.done():
            self.drop()  # it speaks without being asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as fault:
            self._fail("not_http", str(fault))

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that tells no length ends with the connection; any other was cut short."""
        self._transport = None
        if exc is None and self._answer is not None and self._status >= 200 and not self._sized:
            self._end()
        self._fail("closed", str(exc or "the server closed the connection"))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"retry-after":
            self._retry_after = value.decode("latin-1").strip()
        elif name in (b"content-length", b"transfer-encoding"):
            self._sized = True

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES:
            self._fail("too_large", f"more than {MAX_ANSWER_BYTES} bytes")
            return
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Informational answers (1xx) come before the real one."""
        if self._status >= 200:
            self.reusable = self._parser.should_keep_alive()
            self._end()

    def _end(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(HttpAnswer(self._status, b"".join(self._body), self._retry_after))

    def _fail(self, reason: str, detail: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(TransportError(reason, detail))
