"""A fleet of reference servers behind the real gateway: everything of a deployment but the engine."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from stack.hardware_profiles import collect_inventory
from stack.runtime.net import free_port
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.deployment import Deployment
from stack.serving.envoy_process import gateway_before
from stack.serving.fleet import Fleet, lay_out
from stack.serving.fleet.gateway_admin import GatewayAdmin
from stack.serving.fleet.layout import gateway_pool, served_models
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.listed import ListedModel, write_listed
from stack.serving.policy import GatewayPolicy, load_policy
from stack.serving.pools import EngineSpec

ENGINE_KEY = "sp-key-of-the-engine"
READY_S = 20.0


@dataclass(frozen=True)
class MockFleet:
    """`logs` are the truth of each engine: a line per answer that it gave."""

    url: str
    key: str
    fleet: Fleet
    admin: GatewayAdmin
    folder: Path

    def served(self, engine: str) -> int:
        """Answers that an engine gave, in all its lives."""
        return sum(len(log.read_text().splitlines()) for log in self.folder.glob(f"truth-{engine}-*.jsonl"))

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=30, trust_env=False)


@contextmanager
def start_mock_fleet(
    folder: Path,
    deployment: Deployment,
    *options: str,
    policy: GatewayPolicy | None = None,
    own_options: dict[str, tuple[str, ...]] | None = None,
    beside: Callable[[EngineSpec], EngineSpec] | None = None,
    must_surge: bool = False,
) -> Iterator[MockFleet]:
    """Each engine of the deployment is a reference server with `options`, and `own_options` by its name. `beside` names one that takes a place."""
    rules, key = policy or load_policy(), new_key()
    pools = lay_out(deployment, collect_inventory())
    ports = {engine.name: free_port() for pool in pools for engine in pool.engines}
    lives: dict[str, int] = {}

    def start(engine: EngineSpec, tick: Callable[[], None]) -> Child:
        lives[engine.name] = lives.get(engine.name, 0) + 1
        truth = folder / f"truth-{engine.name}-{lives[engine.name]}.jsonl"
        command = [sys.executable, "-m", "bench.mock", "--port", str(ports[engine.name]), "--log", str(truth), *options]
        child = Child.start(engine.name, [*command, *(own_options or {}).get(engine.name, ())], log=folder / f"{engine.name}.log")
        child.wait_ready(lambda: _healthy(ports[engine.name]), timeout_s=READY_S, tick=tick)
        return child

    with ExitStack() as stack:

        def place(engine: EngineSpec) -> tuple[EngineSpec, str]:
            assert beside is not None
            new = beside(engine)
            return new, f"127.0.0.1:{ports.setdefault(new.name, free_port())}"

        addresses = {name: f"127.0.0.1:{number}" for name, number in ports.items()}
        fleet = Fleet(pools, addresses, folder, start, beside=place if beside else None, must_surge=must_surge)
        stack.callback(fleet.stop)
        fleet.start(Reporter())
        write_keys(folder / "keys.json", (ApiKey(tenant="clinic", sha256=hash_key(key)),))
        (folder / "engine.key").write_text(ENGINE_KEY)
        listed = tuple(
            ListedModel(id=pool.served_name, task=pool.task, owned_by="nobody", created=1, max_model_len=512) for pool in pools if not pool.canary_of
        )
        (folder / "models.json").write_text(write_listed(listed))
        behind = tuple(gateway_pool(pool, fleet.addresses, str(fleet.endpoints_file(pool))) for pool in pools)
        models = served_models(pools) if deployment.by_model else ()
        gateway = stack.enter_context(gateway_before(behind, rules, folder, models=models, listed=folder / "models.json"))
        yield MockFleet(gateway.url, key, fleet, stack.enter_context(GatewayAdmin(gateway.admin)), folder)


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=1, trust_env=False, verify=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
