"""What an audit may look at (a value, and refusals where something was not given)."""

import ssl
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from stack.evidence.keys import default_key_path
from stack.runtime.places import cache_dir, config_dir
from stack.security.errors import CannotCheckError
from stack.serving import CatalogModel, Endpoint, find_model
from stack.serving.chat import read_key
from stack.serving.trust import trusting
from stack.serving.weights import model_dir

T = TypeVar("T")

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class AuditContext:
    """Everything a check may need; what was not given stays None, and a check that needs it reads `unknown`."""

    catalog: CatalogModel
    gateway_url: str | None = None
    engine_url: str | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    run_dir: Path | None = None
    root: Path = Path("/")
    signing_key: Path = field(default_factory=default_key_path)
    private_dirs: tuple[Path, ...] = field(default_factory=lambda: (config_dir(), cache_dir()))
    today: date = field(default_factory=today)

    @classmethod
    def of_endpoint(cls, endpoint: Endpoint) -> "AuditContext":
        """For a model that is being served by this project on this machine."""
        return cls(
            catalog=find_model(endpoint.model),
            gateway_url=endpoint.gateway_url,
            engine_url=endpoint.engine_url,
            api_key_file=endpoint.api_key_file,
            run_dir=endpoint.run_dir,
        )

    @property
    def model_dir(self) -> Path:
        """Of the pulled model in this machine's cache."""
        return model_dir(self.catalog.name)

    @property
    def subject(self) -> dict[str, str]:
        """What the report says was audited."""
        named = {"model": self.catalog.name, "gateway_url": self.gateway_url, "engine_url": self.engine_url}
        return {name: value for name, value in named.items() if value}

    def gateway(self) -> str:
        return _given(self.gateway_url, "no gateway was given (--url)")

    @cached_property
    def trust(self) -> ssl.SSLContext | None:
        """For a gateway that speaks TLS; None trusts the public authorities. ServingError for a CA file that holds no certificates."""
        return trusting(self.ca_file)

    def engine(self) -> str:
        return _given(self.engine_url, "no engine was given (--engine-url)")

    def runs(self) -> Path:
        """The session's folder of logs, configuration and keys."""
        return _given(self.run_dir, "the session's folder was not given (--run-dir)")

    def api_key(self) -> str:
        """The client's key. Nothing that shows or stores text may be handed it."""
        key = _given(read_key(_given(self.api_key_file, "no client key was given (--api-key-file)")), "the key file is empty")
        if not (key.isascii() and key.isprintable()):
            raise CannotCheckError("the key file holds more than a key: one line of printable ASCII is expected")
        return key


def local_port(url: str) -> int:
    """The port of a URL on this machine's loopback: only there can its processes be looked at."""
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK_NAMES:
        raise CannotCheckError(f"{parts.hostname} may be another machine: its processes cannot be looked at from here")
    return parts.port or (443 if parts.scheme == "https" else 80)


def _given(value: T | None, otherwise: str) -> T:
    if not value:
        raise CannotCheckError(otherwise)
    return value
