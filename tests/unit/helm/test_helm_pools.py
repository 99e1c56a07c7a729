"""Pools of a deployment whose engines have a pod each."""

from pathlib import Path

import pytest

from stack.hardware_profiles import Inventory
from stack.serving.deployment import Canary, DeployedModel, Deployment
from stack.serving.errors import ServingError
from stack.serving.helm_pools import lay_out_pods, listed_models
from stack.serving.helm_values import deployment_values
from stack.serving.models import find_model
from stack.serving.plan import Hardware, inventory_hardware, make_plan
from stack.serving.policy import load_policy
from stack.serving.tenants import RateClass

SMALL = "smollm2-135m-instruct"


@pytest.fixture
def hardware() -> Hardware:
    path = Path(__file__).parents[2] / "data" / "machines" / "cpu.json"
    return inventory_hardware(Inventory.model_validate_json(path.read_text()))


def site(*models: DeployedModel) -> Deployment:
    return Deployment(models=models)


def test_every_engine_is_planned_for_a_whole_machine_however_many_there_are(hardware: Hardware) -> None:
    alone = make_plan(hardware, find_model(SMALL))
    pools = lay_out_pods(site(DeployedModel(model=SMALL, replicas=4), DeployedModel(model=SMALL, name="other")), hardware)
    assert [pool.plan for pool in pools] == [alone, alone]
    assert [len(pool.engines) for pool in pools] == [4, 1]


def test_a_variant_that_is_not_to_be_compiled_is_not(hardware: Hardware) -> None:
    model = DeployedModel(model=SMALL, canary=Canary(model=SMALL, enforce_eager=True, percent=1))
    compiled, eager = (pool.plan.enforce_eager for pool in lay_out_pods(site(model), hardware))
    assert (compiled, eager) == (False, True)


def test_pools_are_named_in_order_and_a_canary_knows_whom_it_stands_beside(hardware: Hardware) -> None:
    canary = Canary(model=SMALL, max_model_len=4096, percent=2.5)
    pools = lay_out_pods(site(DeployedModel(model=SMALL, name="a"), DeployedModel(model=SMALL, name="b", canary=canary)), hardware)
    found = [(pool.name, pool.served_name, pool.canary_of, pool.canary_percent) for pool in pools]
    assert found == [("engine", "a", None, 0), ("engine-pool-2", "b", None, 0), ("engine-pool-3", "b", "engine-pool-2", 2.5)]


def test_clients_are_told_the_context_that_model_and_canary_both_have(hardware: Hardware) -> None:
    shorter = Canary(model=SMALL, max_model_len=4096, percent=1)
    for model in (DeployedModel(model=SMALL, canary=shorter), DeployedModel(model=SMALL, max_model_len=4096, canary=Canary(model=SMALL, percent=1))):
        (listed,) = listed_models(lay_out_pods(site(model), hardware))
        assert (listed.id, listed.max_model_len, listed.task) == (SMALL, 4096, "generate")


def test_a_model_that_fits_no_machine_of_the_kind_is_refused_with_the_arithmetic(hardware: Hardware) -> None:
    with pytest.raises(ServingError, match="GiB"):
        lay_out_pods(site(DeployedModel(model=SMALL), DeployedModel(model="llama-3.1-405b-instruct")), hardware)


def test_several_models_and_counted_tenants_still_have_one_policy_service(hardware: Hardware) -> None:
    pools = lay_out_pods(site(DeployedModel(model=SMALL), DeployedModel(model=SMALL, name="other")), hardware)
    policy = load_policy().model_copy(update={"classes": {"default": RateClass(requests_per_minute=5)}})
    assert deployment_values(pools, policy)["authz"]["replicas"] == 1
