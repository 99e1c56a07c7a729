"""The gateway before an engine that somebody else runs, as Ray Serve over several machines does (edge)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stack.runtime.files import write_atomic
from stack.runtime.net import LOOPBACK, free_port, require_free
from stack.runtime.places import cache_dir
from stack.runtime.writable import require_folder
from stack.serving.chat import read_key
from stack.serving.endpoint import Endpoint
from stack.serving.envoy_process import Gateway, gateway_before
from stack.serving.errors import PartEndedError, ServingError
from stack.serving.fleet.status import locked
from stack.serving.gateway import Pool
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.policy import GatewayPolicy
from stack.serving.vllm_process import first_answer

TENANT = "local"
"""Whose requests carry the session's own key."""


@dataclass(frozen=True)
class InFront(Endpoint):
    """Where the model answers, and the two processes before it."""

    gateway: Gateway

    def check(self) -> None:
        """PartEndedError, in one line, when one of the two ended; nobody starts it again."""
        for child in (self.gateway.policy_service, self.gateway.envoy):
            if child.exit_status is not None:
                raise PartEndedError(f"{child.name} ended with status {child.exit_status}: {child.last_words()} (log: {child.log})")


@contextmanager
def serve_in_front(
    engine_url: str, model: str, policy: GatewayPolicy, *, engine_key: Path | None = None, run_dir: Path | None = None, port: int | None = None
) -> Iterator[InFront]:
    """A gateway before the engine at `engine_url`, which serves `model`, until the block ends. An engine that asks for no key gets one all the same.

    Logs, configuration and a fresh 0600 key for clients lie in `run_dir`; the keys are removed at the end. ServingError, in one line, for an
    address that is none, a port that is taken, or an engine that does not complete a first prompt.
    """
    address = engine_address(engine_url)
    if port is not None:
        require_free(LOOPBACK, port, option="--port")
    if run_dir is not None:
        require_folder(run_dir, option="--run-dir")
    public_port = port or free_port()
    started_ns = time.monotonic_ns()
    # Not beside the sessions: it has no status to show, and no engines to restart.
    folder = (run_dir or cache_dir() / "gateways" / str(public_port)).resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = api_key, own_engine_key = folder / "api.key", folder / "engine.key"
    with locked(folder):
        client_key, its_key = new_key(), _given_key(engine_key) if engine_key is not None else new_key()
        try:
            for file, key in zip(keys, (client_key, its_key), strict=True):
                write_atomic(file, key + "\n", mode=0o600)
            write_keys(folder / "keys.json", (ApiKey(tenant=TENANT, sha256=hash_key(client_key)),))
            with gateway_before((Pool(engines=(address,)),), policy, folder, port=public_port) as gateway:
                if policy.tls is None:  # else the certificate names the site's host
                    first_answer(gateway.url, key=client_key, model=model, limited=policy.limits_tenants)
                ready_s = (time.monotonic_ns() - started_ns) / 1e9
                yield InFront(gateway.url, f"http://{address}", model, api_key, own_engine_key, folder, ready_s, gateway)
        finally:
            for file in keys:
                file.unlink(missing_ok=True)


def engine_address(url: str) -> str:
    """`host:port` of the engine; ServingError for anything but `http://HOST:PORT`."""
    try:
        place = urlsplit(url)
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if host is None or port is None or ":" in host or url.rstrip("/") != f"http://{host}:{port}":
        raise ServingError(f"--engine-url: must be http://HOST:PORT, without a path, got {url}")
    return f"{host}:{port}"


def _given_key(file: Path) -> str:
    key = read_key(file)
    if not key:
        raise ServingError(f"--engine-key {file}: holds no key")
    return key
