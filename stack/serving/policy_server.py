"""HTTP/1.1 for the policy service: connections that Envoy keeps, with one request at a time on each (edge).

Every request of every client waits for this, and of a general server's time most was its own: a decision takes 20 us.
"""

import asyncio
import gc
import logging
import signal
import types
from collections.abc import Coroutine, Generator
from functools import partial
from pathlib import Path
from typing import Any, cast

import httptools
import uvloop

from stack.serving.errors import ServingError
from stack.serving.policy_app import Answer, Answerer, Asked

DRAIN_S = 4.0
"""For answers under way at the end; shorter than the grace of whoever started it."""
UNAVAILABLE: Answer = (503, [], b"")
BAD_REQUEST: Answer = (400, [], b"")
log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """One kept connection."""

    def __init__(self, answerer: Answerer, open_ones: set["Connection"]) -> None:
        self._answerer, self._open = answerer, open_ones
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._headers, self._body = b"", list[tuple[bytes, bytes]](), list[bytes]()
        self.answering: asyncio.Task[None] | None = None
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._gone = True
        self._open.discard(self)

    def eof_received(self) -> None:
        self._gone = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._write(BAD_REQUEST)
            self.close()

    def close(self) -> None:
        self._transport.close()

    # Of the parser, in the order in which it calls them.

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", [], []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self.answering is not None:  # Envoy asks one thing at a time; whoever does not is not Envoy
            self.close()
            return
        path, _, query = self._url.partition(b"?")
        asked = Asked(self._parser.get_method().decode(), path.decode("latin-1"), query, self._headers, b"".join(self._body))
        self.answering = begin(self._answer(asked))

    async def _answer(self, asked: Asked) -> None:
        try:
            answer = await self._answerer(asked, lambda: self._gone)
        except Exception:
            # Nobody is let through by a fault. The traceback holds lines of this program, none of a request.
            log.exception("a decision failed")
            answer = UNAVAILABLE
        self.answering = None
        self._write(answer)
        if not self._parser.should_keep_alive():
            self.close()

    def _write(self, answer: Answer) -> None:
        if not self._gone:
            self._transport.write(framed(answer))


def begin(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Run it until it waits for something, and then as a task; None when it never did, as most answers do not.

    What the eager tasks of Python 3.12 are for: a turn of the loop for each answer took a tenth of its time.
    """
    try:
        waited_for = coroutine.send(None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_rest(coroutine, waited_for))


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, None], waited_for: Any) -> Generator[Any, Any, None]:
    while True:
        try:
            came = yield waited_for
        except BaseException as error:  # of the task: it was cancelled, or what it waited for failed
            step = partial(coroutine.throw, error)
        else:
            step = partial(coroutine.send, came)
        try:
            waited_for = step()
        except StopIteration:
            return


def framed(answer: Answer) -> bytes:
    """The bytes of an answer; of UNAVAILABLE where a header would break out of its line."""
    status, headers, content = answer
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        return framed(UNAVAILABLE)
    return f"HTTP/1.1 {status} \r\n{lines}content-length: {len(content)}\r\n\r\n".encode("latin-1") + content


def serve(answerer: Answerer, *, socket: Path | None, host: str, port: int) -> None:
    """Answer on the UNIX socket, or on host and port without one, until SIGTERM or SIGINT; ServingError when it cannot listen there."""
    # What was made to start is never garbage: looking through it would now and then keep requests waiting for tens of milliseconds.
    gc.collect()
    gc.freeze()
    try:
        uvloop.run(_serve(answerer, socket, host, port))
    except OSError as fault:
        raise ServingError(f"cannot listen on {socket or f'{host}:{port}'}: {fault.strerror or fault}") from None


async def _serve(answerer: Answerer, socket: Path | None, host: str, port: int) -> None:
    loop, over, connections = asyncio.get_running_loop(), asyncio.Event(), set[Connection]()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)

    def connection() -> Connection:
        return Connection(answerer, connections)

    server = await (loop.create_unix_server(connection, str(socket)) if socket is not None else loop.create_server(connection, host, port))
    await over.wait()
    server.close()
    if answering := [each.answering for each in connections if each.answering is not None]:
        await asyncio.wait(answering, timeout=DRAIN_S)
    for each in tuple(connections):
        each.close()
