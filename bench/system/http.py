"""One HTTP request with one deadline for all of it, however slowly bytes come (edge)."""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Literal

import httptools

from bench.system.address import Page, split_address
from bench.system.readings import UnreadableError

MOST_BYTES = 16 << 20
"""An answer longer than this is not read."""


class Caller:
    """Asks one address, over and over; a new connection each time, so that nothing is held against the server in between."""

    def __init__(self, page: Page, method: Literal["GET", "POST"] = "GET") -> None:
        """OSError, ValueError or ssl.SSLError when the key or the certificates cannot be read."""
        secure, self._host, self._port, path, netloc = split_address(page.url)
        key = "" if page.key_file is None else f"Authorization: Bearer {page.key_file.read_text(encoding='ascii').strip()}\r\n"
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        self._request = f"{method} {path} HTTP/1.1\r\nHost: {netloc}\r\nUser-Agent: stackproof-bench\r\n{key}{length}Connection: close\r\n\r\n".encode("ascii")
        self._tls = ssl.create_default_context(cafile=page.ca_file and str(page.ca_file)) if secure else None

    async def ask(self, *, timeout_s: float) -> tuple[int, str]:
        """Status and body; UnreadableError, with the reason, when there is no whole answer within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask()
        except TimeoutError:
            raise UnreadableError(f"no whole answer within {timeout_s:g} s") from None
        except (OSError, httptools.HttpParserError) as error:
            raise UnreadableError(f"{type(error).__name__}: {' '.join(str(error).split())[:120]}") from None

    async def _ask(self) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        try:
            writer.write(self._request)
            answer = _Answer()
            parser = httptools.HttpResponseParser(answer)
            while not answer.whole and (data := await reader.read(1 << 16)):
                parser.feed_data(data)
                if answer.size > MOST_BYTES:
                    raise UnreadableError(f"the answer is longer than {MOST_BYTES >> 20} MiB")
            if not answer.headed:
                raise UnreadableError("the connection was closed without an answer")
            return parser.get_status_code(), b"".join(answer.pieces).decode("utf-8", errors="replace")
        finally:
            writer.transport.abort()  # a close would wait for the other side


@dataclass
class _Answer:
    """What httptools calls while it parses."""

    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    headed: bool = False
    whole: bool = False

    def on_headers_complete(self) -> None:
        self.headed = True

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)
        self.size += len(body)

    def on_message_complete(self) -> None:
        self.whole = True
