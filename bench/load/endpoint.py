"""Where requests go: a checked URL, its key, its TLS, and the bytes of a request."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench.errors import BenchError

CHAT_PATH = "/chat/completions"


@dataclass(frozen=True)
class Endpoint:
    """A streaming chat endpoint; neither its repr nor `url` shows the key."""

    url: str
    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None
    _head: bytes = field(repr=False)

    @classmethod
    def parse(cls, url: str, *, api_key: str | None = None, ca_file: Path | None = None) -> "Endpoint":
        """From `http[s]://host[:port][/base]`; a base that ends in /v1 is taken as it is. BenchError says what is wrong."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BenchError(f"--url: {error}") from None
        if parts.username is not None or parts.query or parts.fragment or any(ord(char) <= 0x20 or ord(char) >= 0x7F for char in url):
            raise BenchError("--url: give only scheme, host, port and base path; a key belongs in --api-key-file")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BenchError(f"--url {url}: give http://HOST:PORT or https://HOST[:PORT]")
        secure = parts.scheme == "https"
        base = parts.path.rstrip("/")
        path = base + CHAT_PATH if base.endswith("/v1") else f"{base}/v1{CHAT_PATH}"
        head = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", "Content-Type: application/json", "Accept: text/event-stream", "User-Agent: stackproof-bench"]
        if api_key is not None:
            head.append(f"Authorization: Bearer {api_key}")
        return cls(
            url=url,
            host=parts.hostname,
            port=port or (443 if secure else 80),
            path=path,
            tls=_tls(ca_file) if secure else None,
            _head="\r\n".join(head).encode(),
        )

    def request(self, body: bytes, *, request_id: str) -> bytes:
        """The whole HTTP/1.1 request, ready to be written in one piece."""
        return b"%b\r\nX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n%b" % (self._head, request_id.encode(), len(body), body)


def read_api_key(path: Path | None) -> str | None:
    """The key in a file; BenchError when it cannot be read or cannot stand in a header."""
    if path is None:
        return None
    try:
        key = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise BenchError(f"--api-key-file {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        key = ""
    if not key.isprintable() or not key or " " in key:
        raise BenchError(f"--api-key-file {path}: must hold one line with the key and nothing else")
    return key


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise BenchError(f"--ca-file {ca_file}: not readable PEM certificates: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
