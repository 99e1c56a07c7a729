"""Servers that behave badly, and the one deadline that ends them all."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.system.address import Page, metrics_page
from bench.system.http import MOST_BYTES, Caller
from bench.system.readings import UnreadableError

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


def ask(serve: Serve, *, key_file: Path | None = None, timeout_s: float = 30.0) -> tuple[int, str]:
    async def against_it() -> tuple[int, str]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await Caller(Page(f"http://127.0.0.1:{port}/metrics", key_file)).ask(timeout_s=timeout_s)

    return asyncio.run(against_it())


def answering(*pieces: bytes, every_s: float = 0.0, closes: bool = True) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(every_s)
        if closes:
            writer.close()
        else:
            await reader.read()  # until the client goes

    return serve


def test_an_answer_in_chunks_is_put_together() -> None:
    assert ask(answering(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n", every_s=0.01)) == (200, "abcde")


def test_another_status_comes_back_with_its_body() -> None:
    assert ask(answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")) == (404, "no")


def test_a_server_that_never_answers_is_given_up_at_the_deadline() -> None:
    with pytest.raises(UnreadableError, match=r"no whole answer within 0\.2 s"):
        ask(answering(closes=False), timeout_s=0.2)


def test_a_server_that_drips_is_given_up_at_the_same_deadline_though_every_read_is_quick() -> None:
    with pytest.raises(UnreadableError, match=r"no whole answer within 0\.3 s"):
        ask(answering(OK + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 1000, every_s=0.02), timeout_s=0.3)


def test_what_is_not_http_is_a_reason() -> None:
    with pytest.raises(UnreadableError, match="HttpParser"):
        ask(answering(b"\x00\x01 220 mail server ready\r\n"))


def test_a_connection_closed_at_once_is_a_reason() -> None:
    with pytest.raises(UnreadableError, match="closed without an answer"):
        ask(answering())


def test_an_endless_page_is_not_read_to_its_end() -> None:
    with pytest.raises(UnreadableError, match="longer than 16 MiB"):
        ask(answering(OK + b"Connection: close\r\n\r\n", b"x" * (MOST_BYTES + 1)))


def test_the_key_goes_out_only_where_one_was_given(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK + b"Content-Length: 0\r\n\r\n")

    key_file = tmp_path / "key"
    key_file.write_text("sesame\n")
    ask(serve)
    ask(serve, key_file=key_file)
    assert b"Authorization" not in seen[0]
    assert b"\r\nAuthorization: Bearer sesame\r\n" in seen[1]


def test_metrics_are_looked_for_on_the_endpoints_host_and_port() -> None:
    assert metrics_page("https://host:8443/base/v1", None).url == "https://host:8443/metrics"
    assert metrics_page("http://gateway:8000", "http://engine:8001/metrics").url == "http://engine:8001/metrics"


@pytest.mark.parametrize(
    "address", ["engine:8001", "ftp://engine/metrics", "http://user:pass@engine/metrics", "http://engine:99999/", "http:///metrics", "http://e\n/"]
)
def test_an_address_that_is_none_names_the_option(address: str) -> None:
    with pytest.raises(BenchError, match="--metrics-url"):
        metrics_page("http://127.0.0.1:1", address)
