"""What an audit may look at (a value, and refusals where something was not given)."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from stack.evidence.keys import default_key_path
from stack.runtime.places import cache_dir, config_dir
from stack.security.errors import CannotCheckError
from stack.serving import CI_MODEL, CatalogModel, Endpoint, find_model
from stack.serving.chat import read_key
from stack.serving.weights import model_dir

T = TypeVar("T")


def today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True)
class AuditContext:
    """Everything a check may need; what was not given stays None, and a check that needs it reads `unknown`."""

    catalog: CatalogModel
    gateway_url: str | None = None
    engine_url: str | None = None
    api_key_file: Path | None = None
    run_dir: Path | None = None
    root: Path = Path("/")
    signing_key: Path = field(default_factory=default_key_path)
    private_dirs: tuple[Path, ...] = field(default_factory=lambda: (config_dir(), cache_dir()))
    today: date = field(default_factory=today)

    @classmethod
    def of_model(cls, name: str = CI_MODEL, **given: object) -> "AuditContext":
        """For a catalog model in this machine's cache; ServingError when the catalog has no such model."""
        return cls(catalog=find_model(name), **given)  # type: ignore[arg-type]

    @classmethod
    def of_endpoint(cls, endpoint: Endpoint) -> "AuditContext":
        """For a model that is being served by this project on this machine."""
        return cls.of_model(
            endpoint.model, gateway_url=endpoint.gateway_url, engine_url=endpoint.engine_url, api_key_file=endpoint.api_key_file, run_dir=endpoint.run_dir
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

    def engine(self) -> str:
        return _given(self.engine_url, "no engine was given (--engine-url)")

    def runs(self) -> Path:
        """The session's folder of logs, configuration and keys."""
        return _given(self.run_dir, "the session's folder was not given (--run-dir)")

    def api_key(self) -> str:
        """The client's key. Nothing that shows or stores text may be handed it."""
        return _given(read_key(_given(self.api_key_file, "no client key was given (--api-key-file)")), "the key file is empty")


def port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _given(value: T | None, otherwise: str) -> T:
    if not value:
        raise CannotCheckError(otherwise)
    return value
