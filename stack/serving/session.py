"""One served model from start to stop: engine, policy service, Envoy, in this order and back (edge)."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.hardware_profiles import collect_inventory
from stack.runtime.files import write_atomic
from stack.runtime.net import LOOPBACK, free_port, require_free
from stack.runtime.places import cache_dir
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.chat import read_key
from stack.serving.endpoint import Endpoint
from stack.serving.envoy_process import start_envoy, start_policy_service
from stack.serving.errors import PartEndedError
from stack.serving.gateway import Addresses
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.models import CI_MODEL, CatalogModel, find_model
from stack.serving.plan import EnginePlan, make_plan
from stack.serving.policy import GatewayPolicy, load_policy
from stack.serving.pull import pull_model
from stack.serving.vllm_process import explain_death, first_completion, start_engine
from stack.serving.weights import Manifest, model_dir, verify_model

LOGS = ("engine.log", "policy.log", "gateway.log", "access.log")
TENANT = "local"
"""Whose requests carry the session's own key."""


@dataclass(frozen=True)
class Session(Endpoint):
    """A served model: its endpoint, what it was made from, and its processes. `policy` is None without a gateway."""

    plan: EnginePlan
    policy: GatewayPolicy | None
    catalog: CatalogModel
    manifest: Manifest
    engine_ready_s: float
    children: tuple[Child, ...]

    def check(self) -> None:
        """PartEndedError, in one line, when a part has ended by itself."""
        for child in self.children:
            if child.exit_status is not None:
                words = explain_death(child) if child.name == "engine" else None
                raise PartEndedError(words or f"{child.name} ended with status {child.exit_status}: {child.last_words()} (log: {child.log})")

    def memory_bytes(self) -> dict[str, int]:
        """Proportional set size of each part's process tree."""
        return {child.name: child.memory_bytes() for child in self.children}


@contextmanager
def serve_session(
    model: str = CI_MODEL,
    *,
    run_dir: Path | None = None,
    port: int | None = None,
    engine_port: int | None = None,
    gateway: bool = True,
    policy: GatewayPolicy | None = None,
    max_model_len: int | None = None,
    reporter: Reporter | None = None,
) -> Iterator[Session]:
    """Serve a catalog model until the block ends; free ports where none is named. Without a gateway the engine itself takes `port`.

    Logs, rendered configuration and fresh 0600 keys lie in `run_dir` (default: in the cache, one per port); the keys
    are removed at the end. StackproofError in one line when a port is taken, memory is short or a part does not start.
    """
    say, chosen = reporter or Reporter(), find_model(model)
    for number, option in ((port, "--port"), (engine_port, "--engine-port")):
        if number is not None:
            require_free(LOOPBACK, number, option=option)
    plan = make_plan(collect_inventory(), chosen, max_model_len=max_model_len)
    pull_model(chosen, say)
    manifest = verify_model(chosen)
    started_ns = time.monotonic_ns()
    public_port = port or free_port()
    ports = _Ports(gateway=public_port, engine=engine_port or free_port()) if gateway else _Ports(gateway=public_port, engine=public_port)
    folder = run_dir or cache_dir() / "sessions" / str(public_port)
    with ExitStack() as stack:
        files = _RunFiles.prepare(folder.resolve(), stack)
        write_atomic(files.root / "plan.json", plan.model_dump_json(indent=2) + "\n")
        engine_key = read_key(files.engine_key) or ""
        engine = start_engine(
            plan, model=model_dir(chosen.name), port=ports.engine, key=engine_key, private=files.private, log=files.root / "engine.log", reporter=say
        )
        stack.callback(engine.stop)
        engine_ready_s = _since(started_ns)
        children: tuple[Child, ...] = (engine,)
        url, key_file = ports.engine_url, files.engine_key
        rules = policy or load_policy()
        if gateway:
            children += _start_gateway(rules, ports, files, stack)
            url, key_file = ports.gateway_url, files.api_key
            if rules.tls is None:
                first_completion(url, key=read_key(key_file) or "", model=plan.model)
            else:  # the listener's certificate names the site's host, and a client's may be asked for: neither is ours to have
                url = url.replace("http:", "https:")
                first_completion(ports.engine_url, key=engine_key, model=plan.model)
        yield Session(
            gateway_url=url,
            engine_url=ports.engine_url,
            model=plan.model,
            api_key_file=key_file,
            engine_key_file=files.engine_key,
            run_dir=files.root,
            ready_s=_since(started_ns),
            plan=plan,
            policy=rules if gateway else None,
            catalog=chosen,
            manifest=manifest,
            engine_ready_s=engine_ready_s,
            children=children,
        )


@dataclass(frozen=True)
class _Ports:
    gateway: int
    engine: int

    @property
    def gateway_url(self) -> str:
        return f"http://{LOOPBACK}:{self.gateway}"

    @property
    def engine_url(self) -> str:
        return f"http://{LOOPBACK}:{self.engine}"


@dataclass(frozen=True)
class _RunFiles:
    """A session's folder (made 0700), and a short private one for sockets, whose paths may not exceed 107 bytes."""

    root: Path
    private: Path
    api_key: Path
    engine_key: Path
    hashed_keys: Path

    @classmethod
    def prepare(cls, root: Path, stack: ExitStack) -> "_RunFiles":
        """Make both folders and fresh keys; the keys and the private folder go when `stack` closes."""
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in LOGS:
            (root / name).unlink(missing_ok=True)
        private = Path(tempfile.mkdtemp(prefix="stackproof-"))
        stack.callback(shutil.rmtree, private, ignore_errors=True)
        files = cls(root, private, root / "api.key", root / "engine.key", root / "keys.json")
        api_key = new_key()
        write_atomic(files.api_key, api_key + "\n", mode=0o600)
        write_atomic(files.engine_key, new_key() + "\n", mode=0o600)
        write_keys(files.hashed_keys, (ApiKey(tenant=TENANT, sha256=hash_key(api_key)),))
        for key in (files.api_key, files.engine_key):
            stack.callback(key.unlink, missing_ok=True)
        return files


def _start_gateway(policy: GatewayPolicy, ports: _Ports, files: _RunFiles, stack: ExitStack) -> tuple[Child, Child]:
    socket = files.private / "policy.sock"
    service = start_policy_service(
        policy,
        policy_file=files.root / "policy.yaml",
        keys=files.hashed_keys,
        engine_key=files.engine_key,
        address=socket,
        audit_log=files.root / "audit.jsonl",
        log=files.root / "policy.log",
    )
    stack.callback(service.stop)
    addresses = Addresses(
        listen=f"{LOOPBACK}:{ports.gateway}",
        engine=f"{LOOPBACK}:{ports.engine}",
        policy_service=f"unix:{socket}",
        admin=f"unix:{files.private / 'admin.sock'}",
        secrets=str(files.root),
        access_log=str(files.root / "access.log"),
    )
    envoy = start_envoy(policy, addresses, config=files.root / "envoy.yaml", log=files.root / "gateway.log")
    stack.callback(envoy.stop)
    return service, envoy


def _since(started_ns: int) -> float:
    return (time.monotonic_ns() - started_ns) / 1e9
