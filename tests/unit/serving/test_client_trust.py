"""Whom a client of an https endpoint trusts, and how it says why it did not."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from certificates import Authority

from stack.serving.errors import ServingError
from stack.serving.trust import trusting, why_distrusted


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def https(authority: Authority, folder: Path) -> Iterator[int]:
    """The port of a server with a certificate for 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.socket = authority.serving(folder).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(url: str, tls: ssl.SSLContext | None) -> int | str | None:
    """The status, or why the server was not trusted."""
    try:
        return httpx.get(url, verify=tls or True, trust_env=False).status_code
    except httpx.TransportError as error:
        return why_distrusted(error)


def test_the_file_decides_whom_to_trust_and_the_reason_comes_with_its_mend(tmp_path: Path) -> None:
    ours, other = Authority.make(tmp_path, "ours"), Authority.make(tmp_path, "other")
    with https(ours, tmp_path) as port:
        assert ask(f"https://127.0.0.1:{port}", trusting(ours.pem)) == 204
        stranger = "certificate not trusted: unable to get local issuer certificate: a CA file names the authority to trust (--ca-file)"
        assert ask(f"https://127.0.0.1:{port}", trusting(other.pem)) == stranger
        assert ask(f"https://127.0.0.1:{port}", trusting(None)) == stranger
        by_name = ask(f"https://localhost:{port}", trusting(ours.pem))
    assert by_name == ("certificate not trusted: Hostname mismatch, certificate is not valid for 'localhost': ask it by a name that its certificate has")


def test_an_asyncio_connection_tells_the_same(tmp_path: Path) -> None:
    ours, other = Authority.make(tmp_path, "ours"), Authority.make(tmp_path, "other")

    async def connect(port: int) -> None:
        await asyncio.open_connection("127.0.0.1", port, ssl=trusting(other.pem))

    with https(ours, tmp_path) as port, pytest.raises(OSError, match="certificate") as refused:
        asyncio.run(connect(port))
    assert "unable to get local issuer certificate" in str(why_distrusted(refused.value))


def test_another_fault_of_a_connection_is_not_told_as_distrust() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            assert ask(f"https://127.0.0.1:{server.server_port}", None) is None
        finally:
            server.shutdown()
            thread.join()
    assert ask(f"https://127.0.0.1:{server.server_port}", None) is None


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read: No such file or directory"), (b"", "holds no PEM certificates"), (b"not a certificate", "holds no PEM certificates")],
    ids=["missing", "empty", "garbage"],
)
def test_a_file_without_certificates_is_told_by_name(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ServingError) as refused:
        trusting(path)
    assert str(refused.value).startswith(f"CA file {path} {told}")
