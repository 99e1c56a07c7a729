"""What a served model looks like to everything that uses it (model; no I/O)."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers. Keys are files, never values: read them with `stack.serving.chat.read_key`."""

    gateway_url: str
    """Where clients connect, without a trailing slash or `/v1`; the engine itself when served without a gateway."""
    engine_url: str
    model: str
    api_key_file: Path
    """The key clients send to `gateway_url`."""
    engine_key_file: Path
    """The engine's own key, for readiness checks and audits on this machine."""
    run_dir: Path
    """Logs, rendered configuration, plan and keys of the session."""
    ready_s: float
    """Seconds from the start to the first completion through `gateway_url`."""

    def public(self) -> dict[str, str]:
        """The contract of `stackproof serve --json`."""
        return {"gateway_url": self.gateway_url, "engine_url": self.engine_url, "model": self.model, "api_key_file": str(self.api_key_file)}
