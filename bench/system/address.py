"""Where the engine's Prometheus page is (models, logic)."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.errors import BenchError


@dataclass(frozen=True)
class Page:
    """Where the metrics are: `key_file` is read by the process that asks, and the key is sent nowhere else."""

    url: str
    key_file: Path | None = None
    ca_file: Path | None = None


def metrics_page(url: str, metrics_url: str | None, *, key_file: Path | None = None, ca_file: Path | None = None) -> Page:
    """Of the endpoint `url`: what was named, else /metrics on the same host and port. BenchError when that is no address, or there is no key in the file."""
    named = metrics_url
    if named is None:
        parts = urlsplit(url)
        named = f"{parts.scheme}://{parts.netloc}/metrics"
    split_address(named)
    if key_file is not None:
        try:
            key = key_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(f"--metrics-key-file {key_file}: cannot be read: {error}") from None
        if not key.isprintable() or not key or " " in key:
            raise BenchError(f"--metrics-key-file {key_file}: must hold one line with the key and nothing else")
    return Page(named, key_file, ca_file)


def split_address(url: str) -> tuple[bool, str, int, str, str]:
    """Whether by TLS, host, port, path with query, and the Host header."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BenchError(f"--metrics-url: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or any(not "\x20" < char < "\x7f" for char in url):
        raise BenchError("--metrics-url: give http[s]://HOST:PORT/PATH; a key belongs in --metrics-key-file")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return secure, parts.hostname, port or (443 if secure else 80), path, parts.netloc
