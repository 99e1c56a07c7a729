"""Labels from a real HTTP server that misbehaves: refusals with Retry-After, JSON errors, garbage, slowness, closed connections."""

import asyncio
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stack.pipelines.base import Work
from stack.pipelines.endpoint import ChatEndpoint
from stack.pipelines.errors import PipelineError
from stack.pipelines.labeling import Budget, BudgetSpentError, Llm, Vote, ask
from stack.pipelines.labeling.connection import HttpAnswer, HttpTransport, TransportError

ROOT = Path(__file__).parents[3]
LABELS = ("no", "yes")
YES = Vote("yes", None, 7, 1)
KEY = "a-key-that-must-not-leak"
COMPLETION = json.dumps(
    {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}
).encode()
CLOSE = "close"


def answer(status: int, body: bytes, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


GOOD = answer(200, COMPLETION)


@dataclass
class RawServer:
    """Writes the bytes that `says` gives for a text and how often it was asked before; CLOSE closes, a number is a delay first."""

    says: Callable[[str, int], bytes | str | tuple[float, bytes]] = lambda _text, _before: GOOD
    asked: Counter[str] = field(default_factory=Counter)
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    in_flight: int = 0
    peak: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length"))
        text = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
        self.heads.append(head)
        before, self.asked[text] = self.asked[text], self.asked[text] + 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            said = self.says(text, before)
            if isinstance(said, tuple):
                await asyncio.sleep(said[0])
                said = said[1]
            if isinstance(said, str):
                return False
            writer.write(said)
            await writer.drain()
        finally:
            self.in_flight -= 1
        return b"Connection: close" not in said

    @contextmanager
    def running(self, port: int = 0) -> Iterator["RawServer"]:
        loop = asyncio.new_event_loop()

        async def start() -> asyncio.Server:
            server = await asyncio.start_server(self.serve, "127.0.0.1", port, ssl=self.tls)
            self.port = server.sockets[0].getsockname()[1]
            return server

        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        try:
            yield self
        finally:

            async def stop() -> None:
                server.close()
                tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

            asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()


def self_signed(folder: Path) -> Path:
    """Key and certificate of 127.0.0.1 in one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(hours=1), now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return pem


def llm(**fields: object) -> Llm:
    return Llm.model_validate({"kind": "llm", "name": "model", "prompt": "{text}", "concurrency": 8, **fields})


def votes(server: RawServer, asked: list[str], *, answers: Path | None = None, budget: Budget | None = None, share: int = 1, **fields: object) -> list[Vote]:
    work = Work(Path(), endpoint=ChatEndpoint(server.url, "tiny"), answers=answers, budget=budget, share=share)
    return ask(llm(**fields), asked, LABELS, work)


def texts(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


def posted(server: RawServer, *, times: int = 1, url: str | None = None, key: str | None = None) -> list[HttpAnswer]:
    async def run() -> list[HttpAnswer]:
        async with HttpTransport(url or server.url, api_key=key) as transport:
            return [await transport.post(b'{"messages": [{"content": "t"}]}') for _ in range(times)]

    return asyncio.run(run())


def test_connections_are_used_again_and_the_concurrency_is_divided() -> None:
    with RawServer(lambda _text, _before: (0.02, GOOD)).running() as server:
        assert votes(server, texts(80)) == [YES] * 80
        assert server.peak == server.connections == 8
        votes(server, texts(20), share=4)
        assert server.connections == 8 + 2


@pytest.mark.slow
def test_a_record_of_each_fault_gets_its_own_error_and_the_rest_their_votes() -> None:
    faults: dict[str, tuple[bytes | str | tuple[float, bytes], str, int]] = {
        "text 0": (answer(500, COMPLETION), "http_500", 2),
        "text 3": (answer(200, b"<html>hello</html>"), "not_json", 2),
        "text 5": (answer(400, b'{"error": "too long"}'), "http_400", 1),
        "text 6": (b"SMTP ready\r\n\r\n", "not_http", 2),
        "text 8": ((3.0, GOOD), "timeout", 2),
        "text 9": (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\nConnection: close\r\n\r\n{", "closed", 2),
    }
    with RawServer(lambda text, _before: faults[text][0] if text in faults else GOOD).running() as server:
        found = votes(server, texts(30), attempts=2, timeout_s=0.5)
        assert {text: each.error for text, each in zip(texts(30), found, strict=True) if each != YES} == {text: fault[1] for text, fault in faults.items()}
        assert {text: server.asked[text] for text in faults} == {text: fault[2] for text, fault in faults.items()}


@pytest.mark.parametrize(
    "passing",
    [answer(503, b"busy"), answer(500, b'{"error": "restarting"}'), answer(200, b"<html>"), CLOSE, answer(429, b"{}", "Retry-After: 0")],
    ids=["503", "500", "garbage", "closed", "429"],
)
def test_what_passes_leaves_no_error(passing: bytes | str) -> None:
    with RawServer(lambda text, before: passing if before == 0 and text.endswith("0") else GOOD).running() as server:
        assert votes(server, texts(30)) == [YES] * 30


@pytest.mark.slow
def test_retry_after_is_honoured() -> None:
    with RawServer(lambda _text, before: GOOD if before else answer(429, b"{}", "retry-after: 1")).running() as server:
        started = time.monotonic()
        assert votes(server, ["a"]) == [YES]
        assert 1 <= time.monotonic() - started < 4


@pytest.mark.slow
def test_a_server_that_takes_few_at_once_is_asked_few_at_once() -> None:
    server = RawServer()
    server.says = lambda _text, _before: answer(429, b"{}") if server.in_flight > 4 else (0.02, GOOD)
    with server.running():
        assert votes(server, texts(200), concurrency=32) == [YES] * 200
    assert sum(server.asked.values()) < 350, "about one refusal per answer at the very most"


def test_an_endpoint_that_dies_and_comes_back_is_paid_once_for_each_record(tmp_path: Path) -> None:
    kept, server = tmp_path / "answers" / "0.jsonl", RawServer()
    with server.running():
        assert votes(server, texts(20), answers=kept) == [YES] * 20
    started = time.monotonic()
    with pytest.raises(PipelineError, match=r"stopped answering \(refused\): start it and run the same command again"):
        votes(server, texts(60), answers=kept, attempts=2)
    assert time.monotonic() - started < 10
    with server.running(server.port):
        assert votes(server, texts(60), answers=kept) == [YES] * 60
    assert server.asked == dict.fromkeys(texts(60), 1)


@pytest.mark.slow
def test_a_killed_task_pays_again_only_for_what_was_in_flight(tmp_path: Path) -> None:
    kept, enough = tmp_path / "0.jsonl", threading.Event()

    def says(_text: str, _before: int) -> tuple[float, bytes]:
        if len(server.asked) > 40:
            enough.set()
        return 0.02, GOOD

    server = RawServer(says)
    with server.running():
        code = f"from test_asking_endpoint import *\nvotes(RawServer(port={server.port}), texts(400), answers=Path({str(kept)!r}))"
        child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"})
        try:
            assert enough.wait(60)
        finally:
            child.kill()
            child.wait(10)
        answered = len(kept.read_bytes().splitlines())
        assert 20 < answered < 400
        assert votes(server, texts(400), answers=kept) == [YES] * 400
    twice = [text for text, times in server.asked.items() if times > 1]
    assert len(twice) <= 8
    assert sum(server.asked.values()) == 400 + len(twice)


def test_a_spent_budget_leaves_what_was_paid_for(tmp_path: Path) -> None:
    kept = tmp_path / "0.jsonl"
    with RawServer().running() as server:
        with pytest.raises(BudgetSpentError) as spent:
            votes(server, texts(50), answers=kept, budget=Budget(tokens=160))
        paid = 50 - spent.value.remaining
        assert 20 <= paid < 20 + 8
        assert votes(server, texts(50), answers=kept) == [YES] * 50
        assert server.asked == dict.fromkeys(texts(50), 1)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello",
    ],
    ids=["chunked", "after a 100", "until the end"],
)
def test_a_body_is_read_however_its_end_is_told(said: bytes) -> None:
    with RawServer(lambda _text, _before: said).running() as server:
        assert [each.body for each in posted(server, times=2)] == [b"hello"] * 2


def test_an_idle_connection_that_the_server_closed_is_replaced() -> None:
    async def run(server: RawServer) -> list[int]:
        async with HttpTransport(server.url) as transport:
            first = await transport.post(b'{"messages": [{"content": "t"}]}')
            await asyncio.sleep(0.2)
            return [first.status, (await transport.post(b'{"messages": [{"content": "t"}]}')).status]

    with RawServer(lambda _text, before: CLOSE if before == 1 else GOOD).running() as server:
        assert asyncio.run(run(server)) == [200, 200], "the second was closed unheard on a used connection, and asked again on a new one"
        assert (server.asked["t"], server.connections) == (3, 2)


def test_the_key_goes_to_the_server_and_into_no_error(tmp_path: Path) -> None:
    with RawServer(lambda _text, _before: answer(401, b"no")).running() as server:
        (tmp_path / "key").write_text(KEY + "\n")
        with pytest.raises(PipelineError, match=r"stopped answering \(http_401\)") as refused:
            ask(llm(), ["a"], LABELS, Work(tmp_path, endpoint=ChatEndpoint(server.url, "tiny", tmp_path / "key")))
        assert f"Authorization: Bearer {KEY}" in server.heads[0]
        assert KEY not in str(refused.value)
    with pytest.raises(PipelineError, match="one line of ASCII") as bad:
        HttpTransport("http://127.0.0.1:1", api_key="a\r\nX-Evil: 1")
    assert "Evil" not in str(bad.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://127.0.0.1:port"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(PipelineError, match="--url"):
        HttpTransport(url)


def test_https_is_spoken_to_a_trusted_server_only(tmp_path: Path) -> None:
    pem = self_signed(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(pem)

    async def run(url: str, tls: ssl.SSLContext | None) -> int:
        async with HttpTransport(url, tls=tls) as transport:
            return (await transport.post(b'{"messages": [{"content": "t"}]}')).status

    with RawServer(tls=serving).running() as server:
        assert asyncio.run(run(server.url, ssl.create_default_context(cafile=str(pem)))) == 200
        with pytest.raises(PipelineError, match=r"endpoint 127\.0\.0\.1:\d+: certificate not trusted: .* \(--ca-file\)"):
            asyncio.run(run(server.url, None))


def test_a_path_before_v1_is_kept_and_nobody_listening_is_refused() -> None:
    with RawServer().running() as server:
        posted(server, url=server.url + "/prefix/")
        assert server.heads[0].startswith("POST /prefix/v1/chat/completions HTTP/1.1\r\n")
    with pytest.raises(TransportError, match="refused"):
        posted(server)


def test_a_labeler_without_an_endpoint_is_told_how_to_give_one() -> None:
    with pytest.raises(PipelineError, match="--url"):
        ask(llm(), ["a"], LABELS, Work(Path()))
