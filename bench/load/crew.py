"""Who drives a load, and where to (models): light, so that what else a run needs can start before the load generator is there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.load.endpoint import Endpoint

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class Crew:
    """Who drives the load."""

    workers: int = 1
    engine: Engine = "local"


@dataclass(frozen=True)
class Target:
    """Where requests go, and how a worker of its own finds the way."""

    url: str
    api_key: str | None
    ca_file: Path | None

    def endpoint(self) -> Endpoint:
        """BenchError says what is wrong with it."""
        return Endpoint.parse(self.url, api_key=self.api_key, ca_file=self.ca_file)
