"""Where an engine that takes another's place can run, and what becomes of both when something goes wrong meanwhile."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from stack.hardware_profiles import Inventory
from stack.runtime.errors import StackproofError
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.deployment import DeployedModel, Deployment
from stack.serving.errors import ServingError
from stack.serving.fleet import Fleet, State, lay_out
from stack.serving.fleet.gateway_admin import GatewayAdmin, Upstream
from stack.serving.fleet.surge import place_beside
from stack.serving.models import CI_MODEL
from stack.serving.plan import GIB
from stack.serving.pools import EngineSpec

FIRST, SECOND = "127.0.0.1:8001", "127.0.0.1:8002"
MACHINES = Path(__file__).parents[2] / "data" / "machines"


def machine(name: str) -> Inventory:
    return Inventory.model_validate_json((MACHINES / f"{name}.json").read_bytes())


def with_free(available_bytes: int | None) -> Inventory:
    found = machine("cpu")
    return found.model_copy(update={"memory": found.memory.model_copy(update={"available_bytes": available_bytes})})


def with_devices(count: int) -> Inventory:
    found = machine("cuda")
    return found.model_copy(update={"accelerators": tuple(found.accelerators[0].model_copy(update={"index": index}) for index in range(count))})


def engines(inventory: Inventory, *models: DeployedModel) -> tuple[EngineSpec, ...]:
    return tuple(engine for pool in lay_out(Deployment(models=models or (DeployedModel(model=CI_MODEL),)), inventory) for engine in pool.engines)


def test_on_a_processor_memory_that_is_free_now_decides() -> None:
    (engine,) = engines(machine("cpu"))
    needed = engine.plan.memory.needed_bytes
    new = place_beside(engine, (engine,), with_free(needed))
    assert (new.name, new.plan) == ("engine-new", engine.plan)
    with pytest.raises(ServingError, match=rf"a second one needs {needed / GIB:.1f} GiB, and 1\.0 GiB are free"):
        place_beside(engine, (engine,), with_free(GIB))
    with pytest.raises(ServingError, match="how much memory is free cannot be read"):
        place_beside(engine, (engine,), with_free(None))


def test_the_next_one_has_the_first_name_again() -> None:
    (engine,) = engines(machine("cpu"))
    second = place_beside(engine, (engine,), with_free(1 << 50))
    assert place_beside(second, (second,), with_free(1 << 50)).name == "engine"


def test_accelerators_that_no_engine_uses_are_taken_and_given_back() -> None:
    (engine,) = engines(with_devices(3))
    assert engine.devices == ()  # it may use all, and computes on the first
    new = place_beside(engine, (engine,), with_devices(3))
    assert new.devices == (1,)
    assert place_beside(new, (new,), with_devices(3)).devices == (0,)


def test_engines_that_use_every_accelerator_leave_no_room() -> None:
    first, second = engines(with_devices(2), DeployedModel(model=CI_MODEL, name="a"), DeployedModel(model=CI_MODEL, name="b"))
    assert (first.devices, second.devices) == ((0,), (1,))
    with pytest.raises(ServingError, match="a second one needs 1 accelerators, and 0 are free"):
        place_beside(first, (first, second), with_devices(2))
    assert place_beside(first, (first, second), with_devices(3)).devices == (2,)


@pytest.mark.parametrize("said", ["surge", "in-turn", None])
def test_a_deployment_says_how_its_only_engines_are_restarted(said: str | None) -> None:
    assert Deployment.model_validate({"models": [{"model": CI_MODEL}], "restart": said}).restart == said


def test_another_way_to_restart_is_refused() -> None:
    with pytest.raises(ValueError, match="restart"):
        Deployment.model_validate({"models": [{"model": CI_MODEL}], "restart": "at-once"})


class Gateway:
    """Finds every engine of the fleet healthy and idle, until it is gone."""

    def __init__(self) -> None:
        self.fleet: Fleet | None = None
        self.gone_once_ready = self.unhealthy = False

    def upstreams(self) -> dict[str, Upstream]:
        assert self.fleet is not None
        states = {self.fleet.addresses[name]: keeper.state for name, keeper in self.fleet.keepers.items()}
        if self.gone_once_ready and State.DRAINING in states.values():
            raise ServingError("the gateway's admin interface does not answer /clusters")
        found = {address: Upstream(0, 0, 0, state is State.READY, state is State.DRAINING) for address, state in states.items()}
        return {SECOND: Upstream(0, 0, 0, not self.unhealthy, False), **found}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A fleet of one engine that only sleeps; another one beside it has the address SECOND."""

    def start(engine: EngineSpec, _: Callable[[], None]) -> Child:
        return Child.start(engine.name, [sys.executable, "-S", "-c", "import time; time.sleep(60)"], log=tmp_path / f"{engine.name}.log", grace_s=1)

    asked = Gateway()
    pools = lay_out(Deployment(models=(DeployedModel(model=CI_MODEL),)), machine("cpu"))
    asked.fleet = Fleet(pools, {"engine": FIRST}, tmp_path, start, beside=lambda engine: (place_beside(engine, (engine,), with_free(1 << 50)), SECOND))
    asked.fleet.start(Reporter())
    yield asked
    asked.fleet.stop()


def listed(folder: Path) -> str:
    return (folder / "endpoints-engine.yaml").read_text()


def test_a_gateway_that_is_gone_meanwhile_keeps_no_engine_from_its_place(gateway: Gateway, tmp_path: Path) -> None:
    said: list[str] = []
    gateway.gone_once_ready = True
    assert gateway.fleet is not None
    old = gateway.fleet.keepers["engine"]
    gateway.fleet.restart_in_turn(cast(GatewayAdmin, gateway), longest_s=5, say=said.append)
    assert said[2] == "engine: requests under way are not waited for: the gateway's admin interface does not answer /clusters"
    assert (old.state, gateway.fleet.keepers["engine"].state, gateway.fleet.addresses["engine"]) == (State.STOPPED, State.READY, SECOND)
    assert "DRAINING" not in listed(tmp_path)


@pytest.mark.slow
def test_a_new_engine_that_the_gateway_does_not_find_healthy_is_stopped_and_the_old_one_serves(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.serving.fleet.fleet.HEALTHY_WITHIN_S", 0.5)
    gateway.unhealthy = True
    assert gateway.fleet is not None
    old = gateway.fleet.keepers["engine"]
    with pytest.raises(StackproofError, match="the new engine did not come up, and the old one goes on: the gateway did not find it healthy within 0 s"):
        gateway.fleet.restart_in_turn(cast(GatewayAdmin, gateway), longest_s=5, say=lambda _: None)
    assert (gateway.fleet.keepers["engine"], old.state, gateway.fleet.addresses["engine"]) == (old, State.READY, FIRST)
    assert "DRAINING" not in listed(tmp_path)
    gateway.unhealthy = False
    gateway.fleet.restart_in_turn(cast(GatewayAdmin, gateway), longest_s=5, say=lambda _: None)
    assert gateway.fleet.addresses["engine"] == SECOND
