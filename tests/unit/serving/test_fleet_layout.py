"""What a deployment file comes to on given hardware."""

from pathlib import Path

import pytest

from stack.hardware_profiles import Inventory
from stack.serving.deployment import Canary, DeployedModel, Deployment, load_deployment
from stack.serving.errors import ServingError
from stack.serving.fleet import lay_out
from stack.serving.fleet.layout import served_models
from stack.serving.gateway import Served
from stack.serving.models import CI_MODEL
from stack.serving.plan import catalog_hardware, share_of

MACHINES = Path(__file__).parents[2] / "data" / "machines"


def machine(name: str) -> Inventory:
    return Inventory.model_validate_json((MACHINES / f"{name}.json").read_bytes())


def two(**fields: object) -> Deployment:
    return Deployment(models=(DeployedModel.model_validate({"model": CI_MODEL, "replicas": 2, **fields}),))


def test_engines_share_the_cores_and_the_memory_of_a_processor() -> None:
    (alone,), (pool,) = lay_out(Deployment(models=(DeployedModel(model=CI_MODEL),)), machine("cpu")), lay_out(two(), machine("cpu"))
    assert [engine.name for engine in pool.engines] == ["engine-1", "engine-2"]
    assert [engine.name for engine in alone.engines] == ["engine"]
    assert pool.plan.memory.available_bytes == pytest.approx(alone.plan.memory.available_bytes / 2, rel=0.01)
    assert (pool.plan.cpu_threads or 0) + (pool.plan.cpu_reserved or 0) <= (alone.plan.cpu_threads or 0) + (alone.plan.cpu_reserved or 0)
    assert pool.plan.cpu_pinned is False


def test_each_engine_has_accelerators_of_its_own() -> None:
    share = share_of(catalog_hardware("h100-sxm:8"), 2)
    assert (share.per_node, share.device_bytes) == (4, catalog_hardware("h100-sxm:8").device_bytes)
    with pytest.raises(ServingError, match="16 engines need an accelerator each, this machine has 8"):
        share_of(catalog_hardware("h100-sxm:8"), 16)
    with pytest.raises(ServingError, match="for one machine"):
        share_of(catalog_hardware("h100-sxm:8x2"), 2)


def test_a_canary_is_a_pool_beside_that_of_its_model() -> None:
    deployment = Deployment(
        models=(
            DeployedModel(model=CI_MODEL, name="text", canary=Canary(model=CI_MODEL, percent=5, max_model_len=512)),
            DeployedModel(model=CI_MODEL, name="vectors", task="embed"),
        )
    )
    pools = lay_out(deployment, machine("cpu"))
    assert [(pool.name, pool.served_name, pool.canary_of, pool.task) for pool in pools] == [
        ("engine", "text", None, "generate"),
        ("engine-pool-2", "text", "engine", "generate"),
        ("engine-pool-3", "vectors", None, "embed"),
    ]
    assert pools[1].plan.max_model_len == 512
    assert served_models(pools) == (
        Served(model="text", pool="engine", canary="engine-pool-2", canary_percent=5),
        Served(model="vectors", pool="engine-pool-3"),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("version: 1\nmodels: []\n", "field `models`"),
        ("version: 1\nmodels: [{model: a}, {model: a}]\n", "two models have the same name"),
        ("version: 1\nmodels: [{model: a, replicas: 0}]\n", "field `models.0.replicas`"),
        ("version: 1\nmodels: [{model: a, replicas: 40}, {model: b, replicas: 40}]\n", "80 engines in all"),
        ("version: 1\nmodels: [{model: a, canary: {model: b, percent: 101}}]\n", "field `models.0.canary.percent`"),
        ("version: 1\nmodels: [{model: a, image: x}]\n", "field `models.0.image`"),
    ],
)
def test_a_wrong_file_is_told_by_its_field(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(text)
    with pytest.raises(ServingError) as raised:
        load_deployment(file)
    assert told in str(raised.value)
    assert str(file) in str(raised.value)
