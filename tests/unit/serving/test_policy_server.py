"""The policy service's HTTP, over real UNIX sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stack.serving.errors import ServingError
from stack.serving.policy_app import Answer, Answerer, Asked, HasLeft
from stack.serving.policy_server import Connection, begin, framed, serve


async def echo(asked: Asked, has_left: HasLeft) -> Answer:
    told = [("x-method", asked.method), ("x-path", asked.path), ("x-query", asked.query.decode()), ("x-headers", str(len(asked.headers)))]
    return 200, told, asked.body


@asynccontextmanager
async def connected(answerer: Answerer, socket: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    connections = set[Connection]()
    server = await asyncio.get_running_loop().create_unix_server(lambda: Connection(answerer, connections), str(socket))
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


def run(answerer: Answerer, tmp_path: Path, ask: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
    async def go() -> None:
        async with connected(answerer, tmp_path / "s") as (reader, writer), asyncio.timeout(5):
            await ask(reader, writer)

    asyncio.run(go())


def test_a_kept_connection_answers_one_request_after_the_other(tmp_path: Path) -> None:
    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in (b"first", b"second"):
            writer.write(b"POST /v1/x?a=1 HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            head, content = await read_answer(reader)
            assert head.startswith(b"HTTP/1.1 200")
            assert b"x-method: POST\r\nx-path: /v1/x\r\nx-query: a=1\r\nx-headers: 2\r\n" in head
            assert content == body

    run(echo, tmp_path, ask)


def test_a_request_may_come_in_any_pieces(tmp_path: Path) -> None:
    request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nhello"

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(len(request)):
            writer.write(request[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)
        head, content = await read_answer(reader)
        assert b"x-path: /v1/chat/completions" in head
        assert content == b"hello"

    run(echo, tmp_path, ask)


@pytest.mark.parametrize(
    "said", [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"\x16\x03\x01\x00\x00\x00"], ids=["words", "length", "TLS"]
)
def test_what_is_no_http_ends_the_connection(tmp_path: Path, said: bytes) -> None:
    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")

    run(echo, tmp_path, ask)


def test_a_second_request_before_the_answer_ends_the_connection(tmp_path: Path) -> None:
    async def slow(asked: Asked, has_left: HasLeft) -> Answer:
        await asyncio.sleep(0.05)
        return await echo(asked, has_left)

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""

    run(slow, tmp_path, ask)


def test_a_fault_lets_nobody_through_and_the_connection_lives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(asked: Asked, has_left: HasLeft) -> Answer:
        raise RuntimeError("bug")

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(b"GET /a HTTP/1.1\r\n\r\n")
            head, _ = await read_answer(reader)
            assert head.startswith(b"HTTP/1.1 503 ")

    run(broken, tmp_path, ask)
    assert "bug" in caplog.text


def test_the_answer_learns_that_whoever_asked_has_left(tmp_path: Path) -> None:
    asked_of, left, told = asyncio.Event(), asyncio.Event(), list[bool]()

    async def waiting(asked: Asked, has_left: HasLeft) -> Answer:
        told.append(has_left())
        asked_of.set()
        await left.wait()
        await asyncio.sleep(0.01)  # the loop has read the end by then
        told.append(has_left())
        asked_of.set()
        return 200, [], b""

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /a HTTP/1.1\r\n\r\n")
        await asked_of.wait()
        asked_of.clear()
        writer.close()
        await writer.wait_closed()
        left.set()
        await asked_of.wait()

    run(waiting, tmp_path, ask)
    assert told == [False, True]


@pytest.mark.parametrize("value", ["a\r\nx-other: b", "a\nb", "a\rb"])
def test_no_header_breaks_out_of_its_line(value: str) -> None:
    assert framed((200, [("x-stackproof-tenant", value)], b"")).startswith(b"HTTP/1.1 503 ")
    assert framed((200, [("x-stackproof-tenant", "clinic")], b"ok")) == b"HTTP/1.1 200 \r\nx-stackproof-tenant: clinic\r\ncontent-length: 2\r\n\r\nok"


def test_a_socket_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"cannot listen on .*nowhere"):
        serve(echo, socket=tmp_path / "nowhere" / "s", host="127.0.0.1", port=0)


def test_what_never_waits_is_done_at_once_and_what_waits_goes_on_as_a_task() -> None:
    steps: list[str] = []

    async def work(event: asyncio.Event | None) -> None:
        steps.append("begun")
        try:
            if event is not None:
                await event.wait()
                await asyncio.sleep(0)
                await asyncio.to_thread(steps.append, "in a thread")
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise
        steps.append("done")

    async def go() -> None:
        assert begin(work(None)) is None
        assert steps == ["begun", "done"]
        event = asyncio.Event()
        task = begin(work(event))
        assert task is not None
        assert steps[2:] == ["begun"]
        event.set()
        await task
        assert steps[3:] == ["in a thread", "done"]
        cancelled = begin(work(asyncio.Event()))
        assert cancelled is not None
        await asyncio.sleep(0)  # it waits
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert steps[5:] == ["begun", "cancelled"]

    asyncio.run(go())
