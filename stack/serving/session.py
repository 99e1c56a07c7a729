"""A deployment from start to stop: engines, policy service, Envoy, in this order and back (edge)."""

import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stack.hardware_profiles import Inventory, collect_inventory
from stack.runtime.files import write_atomic
from stack.runtime.net import LOOPBACK, free_port, require_free
from stack.runtime.places import cache_dir
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.runtime.writable import require_folder
from stack.serving.chat import read_key
from stack.serving.compiler import why_no_compiler
from stack.serving.deployment import DeployedModel, Deployment
from stack.serving.endpoint import Endpoint
from stack.serving.envoy_process import require_authorities, start_envoy, start_policy_service
from stack.serving.errors import PartEndedError
from stack.serving.fleet import Fleet, Keeper, State, lay_out
from stack.serving.fleet.gateway_admin import GatewayAdmin
from stack.serving.fleet.layout import gateway_pool, served_models
from stack.serving.fleet.status import locked
from stack.serving.fleet.surge import SECOND, place_beside
from stack.serving.gateway import Addresses
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.listed import ListedModel, write_listed
from stack.serving.models import CI_MODEL, CatalogModel
from stack.serving.plan import EnginePlan
from stack.serving.policy import GatewayPolicy, Tracing, load_policy
from stack.serving.pools import EngineSpec, PoolSpec
from stack.serving.pull import pull_model
from stack.serving.traces import EngineTracing, engine_tracing
from stack.serving.vllm_process import first_answer, start_engine
from stack.serving.weights import Manifest, model_dir, verify_model

LOGS = ("policy.log", "gateway.log", "access.log")
TENANT = "local"
"""Whose requests carry the session's own key."""
POLICY_SERVICE, GATEWAY = "policy service", "gateway"


@dataclass(frozen=True)
class Session(Endpoint):
    """What is served: its endpoint, what it was made from, and its processes. `policy` is None without a gateway.

    `engine_url` is where the first engine was at the start; one that took its place is found by `fleet.addresses`.
    `model`, `engine_url`, `plan`, `catalog` and `manifest` are those of the deployment's first model.
    """

    pools: tuple[PoolSpec, ...]
    policy: GatewayPolicy | None
    manifests: dict[str, Manifest]
    """By name in the catalog."""
    engine_ready_s: float
    fleet: Fleet
    parts: tuple[Keeper, ...]
    admin_socket: Path | None

    @property
    def plan(self) -> EnginePlan:
        return self.pools[0].plan

    @property
    def catalog(self) -> CatalogModel:
        return self.pools[0].catalog

    @property
    def manifest(self) -> Manifest:
        return self.manifests[self.catalog.name]

    @property
    def keepers(self) -> tuple[Keeper, ...]:
        return (*self.fleet.keepers.values(), *self.parts)

    @property
    def children(self) -> tuple[Child, ...]:
        """Running processes."""
        return tuple(keeper.child for keeper in self.keepers if keeper.child is not None)

    def check(self) -> None:
        """PartEndedError, in one line, when a part is given up without which nothing is served."""
        self.fleet.check()
        for keeper in self.parts:
            if keeper.state is State.FAILED:
                raise PartEndedError(keeper.last_error or f"{keeper.name} failed")

    def admin(self) -> GatewayAdmin | None:
        """To ask the gateway; None without one."""
        return GatewayAdmin(self.admin_socket) if self.admin_socket is not None else None

    def memory_bytes(self) -> dict[str, int]:
        """Proportional set size of each part's process tree."""
        return {child.name: child.memory_bytes() for child in self.children}


@contextmanager
def serve_session(
    model: str | DeployedModel = CI_MODEL,
    *,
    run_dir: Path | None = None,
    port: int | None = None,
    engine_port: int | None = None,
    gateway: bool = True,
    policy: GatewayPolicy | None = None,
    reporter: Reporter | None = None,
) -> Iterator[Session]:
    """Serve one catalog model by one engine until the block ends: see `serve_deployment`."""
    deployment = Deployment(models=(DeployedModel(model=model) if isinstance(model, str) else model,))
    with serve_deployment(deployment, run_dir=run_dir, port=port, engine_port=engine_port, gateway=gateway, policy=policy, reporter=reporter) as session:
        yield session


@contextmanager
def serve_deployment(
    deployment: Deployment,
    *,
    run_dir: Path | None = None,
    port: int | None = None,
    engine_port: int | None = None,
    gateway: bool = True,
    policy: GatewayPolicy | None = None,
    reporter: Reporter | None = None,
    supervised: bool = False,
) -> Iterator[Session]:
    """Serve the models until the block ends; free ports where none is named. Without a gateway the one engine itself takes `port`.

    Logs, rendered configuration and fresh 0600 keys lie in `run_dir` (default: in the cache, one per port); the keys
    are removed at the end. StackproofError in one line when a port is taken, memory is short or a part does not start.
    `supervised`: a Supervisor follows, and SIGTERM ends this process in order, so `stackproof status` and `stop` know of it from here on.
    """
    say = reporter or Reporter()
    for number, option in ((port, "--port"), (engine_port, "--engine-port")):
        if number is not None:
            require_free(LOOPBACK, number, option=option)
    if run_dir is not None:
        require_folder(run_dir, option="--run-dir")
    inventory, rules = collect_inventory(), policy or load_policy()
    if gateway:
        require_authorities(rules.tracing)  # Envoy would say so too, once the engines are up
    pools = lay_out(deployment, inventory, eager=why_no_compiler())
    public_port = port or free_port()
    folder = (run_dir or cache_dir() / "sessions" / str(public_port)).resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as stack:
        stack.enter_context(locked(folder, supervised=supervised))
        _known_by_port(folder, public_port, stack)
        manifests = {pool.catalog.name: _weights(pool.catalog, say) for pool in pools}  # may take long: `status` says that it starts
        started_ns = time.monotonic_ns()
        first = (engine_port or free_port()) if gateway else public_port
        engines = [engine for pool in pools for engine in pool.engines]
        ports = dict(zip((engine.name for engine in engines), (first, *(free_port() for _ in engines[1:])), strict=True))
        files = _RunFiles.prepare(folder, [engine.name for engine in engines], stack)
        for pool in pools:
            name = "plan.json" if pool is pools[0] else f"plan-{pool.name}.json"
            write_atomic(files.root / name, pool.plan.model_dump_json(indent=2) + "\n")
        traced = partial(_engine_tracing, rules.tracing if gateway else None, inventory)
        start = partial(_start_engine, ports, files, traced)

        def beside(engine: EngineSpec) -> tuple[EngineSpec, str]:
            new = place_beside(engine, fleet.engines.values(), collect_inventory())
            return new, f"{LOOPBACK}:{ports.setdefault(new.name, free_port())}"

        addresses = {name: f"{LOOPBACK}:{number}" for name, number in ports.items()}
        may_surge, must_surge = deployment.restart != "in-turn", deployment.restart == "surge"
        fleet = Fleet(pools, addresses, files.root, start, beside=beside if may_surge else None, must_surge=must_surge)
        stack.callback(fleet.stop)
        fleet.start(say)
        engine_ready_s = _since(started_ns)
        engine_url = url = f"http://{LOOPBACK}:{first}"
        key_file, parts, admin = files.engine_key, list[Keeper](), None
        if gateway:
            parts = _start_gateway(rules, deployment, fleet, public_port, files, stack)
            url, key_file, admin = f"http://{LOOPBACK}:{public_port}", files.api_key, files.admin
            if rules.tls is None:
                for pool in pools:  # the engines have answered: a tenant whose day is used up keeps nobody from starting
                    first_answer(url, key=read_key(key_file) or "", model=pool.served_name, task=pool.task, limited=rules.limits_tenants)
            else:  # the listener's certificate names the site's host, and a client's may be asked for: neither is ours to have
                url = url.replace("http:", "https:")
        yield Session(
            gateway_url=url,
            engine_url=engine_url,
            model=pools[0].served_name,
            api_key_file=key_file,
            engine_key_file=files.engine_key,
            run_dir=files.root,
            ready_s=_since(started_ns),
            pools=pools,
            policy=rules if gateway else None,
            manifests=manifests,
            engine_ready_s=engine_ready_s,
            fleet=fleet,
            parts=tuple(parts),
            admin_socket=admin,
        )


@dataclass(frozen=True)
class _RunFiles:
    """A session's folder (made 0700), and a short private one for sockets, whose paths may not exceed 107 bytes."""

    root: Path
    private: Path
    api_key: Path
    engine_key: Path
    hashed_keys: Path

    @property
    def admin(self) -> Path:
        """The gateway's admin socket."""
        return self.private / "admin.sock"

    @classmethod
    def prepare(cls, root: Path, engines: list[str], stack: ExitStack) -> "_RunFiles":
        """Make both folders and fresh keys; the keys and the private folder go when `stack` closes."""
        for name in (*LOGS, *(f"{engine}{which}.log" for engine in engines for which in ("", SECOND))):
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


def _weights(model: CatalogModel, reporter: Reporter) -> Manifest:
    pull_model(model, reporter)
    return verify_model(model)


def _known_by_port(folder: Path, port: int, stack: ExitStack) -> None:
    """Where `stackproof status` looks for sessions, wherever their own folders lie."""
    place = cache_dir() / "sessions" / str(port)
    if place.resolve() == folder:
        return
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if place.is_symlink() or not place.exists():
        place.unlink(missing_ok=True)
        place.symlink_to(folder)
        stack.callback(place.unlink, missing_ok=True)


def _engine_tracing(tracing: Tracing | None, inventory: Inventory, engine: EngineSpec) -> EngineTracing | None:
    """The engine's spans name the devices that it may use, by their hashed identifiers."""
    if tracing is None:
        return None
    on_devices = [each.uuid for each in inventory.accelerators if engine.plan.device != "cpu" and (not engine.devices or each.index in engine.devices)]
    return engine_tracing(tracing, engine.name, host=platform.node(), devices=tuple(uuid for uuid in on_devices if uuid))


def _start_engine(
    ports: dict[str, int],
    files: _RunFiles,
    traced: Callable[[EngineSpec], EngineTracing | None],
    engine: EngineSpec,
    tick: Callable[[], None],
) -> Child:
    return start_engine(
        engine,
        model=model_dir(engine.plan.model),
        port=ports[engine.name],
        key=read_key(files.engine_key) or "",
        private=files.private / engine.name,
        log=files.root / f"{engine.name}.log",
        tracing=traced(engine),
        tick=tick,
    )


def _start_gateway(policy: GatewayPolicy, deployment: Deployment, fleet: Fleet, port: int, files: _RunFiles, stack: ExitStack) -> list[Keeper]:
    socket = files.private / "policy.sock"
    listed = files.root / "models.json"
    write_atomic(listed, write_listed(_listed(fleet.pools)))

    def policy_service(tick: Callable[[], None]) -> Child:
        tick()
        return start_policy_service(
            policy,
            policy_file=files.root / "policy.yaml",
            keys=files.hashed_keys,
            engine_key=files.engine_key,
            address=socket,
            audit_log=files.root / "audit.jsonl",
            models=listed,
            log=files.root / "policy.log",
        )

    addresses = Addresses(
        listen=f"{LOOPBACK}:{port}",
        pools=tuple(gateway_pool(pool, fleet.addresses, str(fleet.endpoints_file(pool))) for pool in fleet.pools),
        models=served_models(fleet.pools) if deployment.by_model else (),
        policy_service=f"unix:{socket}",
        admin=f"unix:{files.admin}",
        secrets=str(files.root),
        access_log=str(files.root / "access.log"),
    )

    def envoy(tick: Callable[[], None]) -> Child:
        tick()
        return start_envoy(policy, addresses, config=files.root / "envoy.yaml", log=files.root / "gateway.log")

    parts = []
    for name, start in ((POLICY_SERVICE, policy_service), (GATEWAY, envoy)):
        keeper = Keeper(name, start, explain=lambda _: None, changed=lambda: None)
        stack.callback(keeper.stop)
        keeper.start()
        keeper.wait(lambda: None)
        parts.append(keeper)
    return parts


def _listed(pools: tuple[PoolSpec, ...]) -> tuple[ListedModel, ...]:
    """Of a model with a canary the shorter context: a request may go to either."""
    found: dict[str, ListedModel] = {}
    for pool in pools:
        known = found.get(pool.served_name)
        length = min(pool.plan.max_model_len, known.max_model_len) if known else pool.plan.max_model_len
        owner = known.owned_by if known else pool.catalog.publisher.name
        found[pool.served_name] = ListedModel(id=pool.served_name, task=pool.task, owned_by=owner, created=int(time.time()), max_model_len=length)
    return tuple(found.values())


def _since(started_ns: int) -> float:
    return (time.monotonic_ns() - started_ns) / 1e9
