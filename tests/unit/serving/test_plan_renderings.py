"""Every golden plan as values of the chart and as a Ray Serve configuration."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from plan_cases import CASES, plan_of

from stack.serving.errors import ServingError
from stack.serving.helm_values import chart_values, pod_resources
from stack.serving.policy import load_policy
from stack.serving.ray_serve import accelerator_type, serve_config, serve_yaml

CHART = Path(__file__).parents[3] / "helm" / "stackproof"
IN_ONE_POD = [name for name in CASES if name not in ("h100-8x2", "h100-8-draft")]
BY_RAY = [name for name in CASES if name != "gaudi3"]


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    nested = {key: merged(below[key], value) for key, value in above.items() if isinstance(value, dict) and isinstance(below.get(key), dict)}
    return {**below, **above, **nested}


@pytest.mark.parametrize("name", IN_ONE_POD)
def test_the_charts_schema_accepts_the_values_of_every_plan_for_one_pod(name: str) -> None:
    values = merged(yaml.load((CHART / "values.yaml").read_text(), yaml.CSafeLoader), chart_values(plan_of(name), load_policy()))
    jsonschema.Draft202012Validator(json.loads((CHART / "values.schema.json").read_text())).validate(values)


@pytest.mark.parametrize(
    ("name", "resource", "amount"), [("h100-8", "nvidia.com/gpu", "8"), ("mi300x", "amd.com/gpu", "1"), ("gaudi3", "habana.ai/gaudi", "4")]
)
def test_a_pod_asks_for_the_devices_of_one_engine_by_the_makers_name(name: str, resource: str, amount: str) -> None:
    assert pod_resources(plan_of(name))["limits"][resource] == amount


def test_as_many_engines_as_fit_become_replicas() -> None:
    assert chart_values(plan_of("gaudi3"), load_policy())["engine"]["replicas"] == 2


def test_what_one_pod_cannot_hold_is_refused_with_the_way_out() -> None:
    with pytest.raises(ServingError, match="spans 2 machines: render it with --format ray"):
        chart_values(plan_of("h100-8x2"), load_policy())
    with pytest.raises(ServingError, match="leave --draft out"):
        chart_values(plan_of("h100-8-draft"), load_policy())


def test_an_engine_over_two_machines_gets_a_bundle_a_worker_and_no_loopback_address() -> None:
    plan = plan_of("h100-8x2")
    application, health = serve_config(plan)["applications"]
    (config,) = application["args"]["llm_configs"]
    assert (health["route_prefix"], health["args"]) == ("/health", {"application": application["name"]})
    assert len(config["placement_group_config"]["bundles"]) == 16
    assert config["engine_kwargs"]["pipeline_parallel_size"] == 2
    assert "VLLM_HOST_IP" not in config["runtime_env"]["env_vars"]
    assert config["runtime_env"]["env_vars"]["HF_HUB_OFFLINE"] == "1"
    assert (config["accelerator_type"], config["engine_kwargs"]["trust_remote_code"]) == ("H100", False)


def test_copies_of_the_attention_part_are_started_as_one_engine() -> None:
    application, _ = serve_config(plan_of("h200-8-latent"))["applications"]
    assert application["import_path"] == "ray.serve.llm:build_dp_openai_app"
    config = application["args"]["llm_config"]
    assert (config["engine_kwargs"]["data_parallel_size"], len(config["placement_group_config"]["bundles"])) == (8, 1)


@pytest.mark.parametrize("name", BY_RAY)
def test_a_ray_configuration_survives_its_file_and_listens_on_loopback(name: str) -> None:
    plan = plan_of(name)
    assert yaml.load(serve_yaml(plan), yaml.CSafeLoader) == serve_config(plan)
    assert serve_config(plan)["http_options"]["host"] == "127.0.0.1"
    assert serve_config(plan)["proxy_location"] == "HeadOnly"


def test_on_a_processor_ray_is_asked_for_the_cores_that_compute_and_no_more() -> None:
    plan = plan_of("cpu")
    application, _ = serve_config(plan, model_path="/srv/model")["applications"]
    (config,) = application["args"]["llm_configs"]
    assert config["placement_group_config"]["bundles"] == [{"CPU": plan.cpu_threads}]
    assert config["deployment_config"]["ray_actor_options"] == application["args"]["ingress_deployment_config"]["ray_actor_options"] == {"num_cpus": 0}
    assert config["model_loading_config"] == {"model_id": plan.model, "model_source": "/srv/model"}


def test_gaudi_is_refused_where_ray_has_no_back_end_for_it() -> None:
    with pytest.raises(ServingError, match="not Gaudi"):
        serve_yaml(plan_of("gaudi3"))


def test_an_unknown_accelerator_has_no_type_rather_than_a_near_one() -> None:
    assert accelerator_type("2 x NVIDIA H100 SXM") == "H100"
    assert accelerator_type("1 x A GPU") is None
