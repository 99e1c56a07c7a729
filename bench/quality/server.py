"""The server that is asked, rather than measured (edge)."""

from dataclasses import dataclass, field
from pathlib import Path

from bench.load.endpoint import Endpoint
from stack.serving.chat import ChatClient


@dataclass(frozen=True)
class Server:
    """An address in the form that `bench run --url` takes, and what it takes to talk to it; its repr does not show the key."""

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    @property
    def base_url(self) -> str:
        """Without the /v1 that the asking client adds."""
        return self.url.rstrip("/").removesuffix("/v1")

    def client(self, *, concurrency: int, timeout_s: float = 120.0) -> ChatClient:
        """The asking client of the lower layers. BenchError when the address is none."""
        endpoint = Endpoint.parse(self.url, api_key=self.api_key, ca_file=self.ca_file)
        return ChatClient(self.base_url, self.model, self.api_key, concurrency=concurrency, timeout_s=timeout_s, tls=endpoint.tls)
