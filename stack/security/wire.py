"""Requests sent exactly as written: clients in use would mend the paths and headers that are the test (edge)."""

import http.client
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from stack.security.errors import CannotCheckError
from stack.serving.trust import why_distrusted

TIMEOUT_S = 20.0
PIECE = 64 << 10
BODY_LIMIT = 1 << 20
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 when the connection was closed without an answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """Headers and body as one text, to search for what must not be in it."""
        lines = "\n".join(f"{name}: {value}" for name, value in self.headers)
        return f"{lines}\n\n{self.body.decode(errors='replace')}"


CLOSED = Answer(status=0)


def ask(
    url: str, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None, trust: ssl.SSLContext | None = None
) -> Answer:
    """One request with `target` as its request target, byte for byte. CannotCheckError when no connection can be made."""
    head = {"Host": urlsplit(url).netloc, "Connection": "close", **(headers or {})}
    if body is not None:
        head["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return send(url, lines, body or b"", trust=trust)


def send(url: str, lines: Iterable[str], body: bytes = b"", *, trust: ssl.SSLContext | None = None) -> Answer:
    """A request of the given request and header lines, then `body`; the answer may come before all of it is sent.

    An https server must be one that `trust` holds to be itself, without it the public authorities.
    """
    with _connected(url, trust) as connection:
        try:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            for start in range(0, len(body), PIECE):
                connection.sendall(body[start : start + PIECE])
        except OSError:
            pass  # refused before the end: the answer, if there is one, waits to be read
        return _receive(connection)


def _connected(url: str, trust: ssl.SSLContext | None) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise CannotCheckError(f"{url} is not an http:// or https:// address")
    try:
        connection = socket.create_connection((parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme]), timeout=TIMEOUT_S)
        if parts.scheme == "http":
            return connection
        with connection:  # closed where the handshake fails; else its socket is the new one's
            return (trust or ssl.create_default_context()).wrap_socket(connection, server_hostname=parts.hostname)
    except OSError as error:
        raise CannotCheckError(f"{parts.netloc} does not answer: {why_distrusted(error) or error.strerror or error}") from None


def _receive(connection: socket.socket) -> Answer:
    try:
        response = http.client.HTTPResponse(connection)
        response.begin()
        return Answer(response.status, tuple((name.lower(), value) for name, value in response.getheaders()), response.read(BODY_LIMIT))
    except TimeoutError:
        raise CannotCheckError(f"no answer within {TIMEOUT_S:.0f} s") from None
    except (http.client.HTTPException, OSError):
        return CLOSED
