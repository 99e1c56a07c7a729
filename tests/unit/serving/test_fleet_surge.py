"""Where an engine that takes another's place can run."""

from pathlib import Path

import pytest

from stack.hardware_profiles import Inventory
from stack.serving.deployment import DeployedModel, Deployment
from stack.serving.errors import ServingError
from stack.serving.fleet import lay_out
from stack.serving.fleet.surge import place_beside
from stack.serving.models import CI_MODEL
from stack.serving.plan import GIB
from stack.serving.pools import EngineSpec

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
