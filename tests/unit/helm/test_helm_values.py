"""Values from plan and policy, without helm."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles import Inventory
from stack.runtime.places import cache_dir
from stack.serving.errors import ServingError
from stack.serving.helm_values import chart_values, pod_environment, pod_resources, values_yaml
from stack.serving.models import find_model
from stack.serving.plan import GIB, EnginePlan, make_plan
from stack.serving.policy import load_policy, parse_policy

MACHINES = Path(__file__).parents[2] / "data" / "machines"


def plan_for(machine: str) -> EnginePlan:
    return make_plan(Inventory.model_validate_json((MACHINES / f"{machine}.json").read_text()), find_model("smollm2-135m-instruct"))


def test_a_cpu_engine_gets_the_plans_cores_and_no_more_threads() -> None:
    plan = plan_for("cpu")
    assert (plan.cpu_threads, plan.cpu_reserved) == (7, 1)
    assert pod_resources(plan)["limits"]["cpu"] == "8"
    variables = pod_environment(plan)
    assert (variables["VLLM_CPU_OMP_THREADS_BIND"], variables["OMP_NUM_THREADS"]) == ("nobind", "7")


def test_memory_covers_the_plans_need_with_headroom_and_shared_memory() -> None:
    plan = plan_for("cpu")
    gib = int(pod_resources(plan)["limits"]["memory"].removesuffix("Gi"))
    assert plan.memory.needed_bytes * 1.25 / GIB + 1 <= gib < plan.memory.needed_bytes * 1.25 / GIB + 2


def test_a_cuda_engine_gets_one_gpu_and_the_plans_own_environment() -> None:
    plan = plan_for("cuda")
    assert pod_resources(plan)["requests"]["nvidia.com/gpu"] == pod_resources(plan)["limits"]["nvidia.com/gpu"] == "1"
    assert pod_environment(plan) == plan.environment()


def test_values_survive_the_file_and_the_policy_reads_back_as_itself() -> None:
    values = chart_values(plan_for("cpu"), load_policy(), name="kisumu")
    assert yaml.safe_load(values_yaml(values)) == values
    assert parse_policy(values["authz"]["policy"], source="values") == load_policy()
    assert "kisumu-engine" in values["gateway"]["config"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.just("\n")))
def test_any_text_survives_the_file(text: str) -> None:
    assert yaml.safe_load(values_yaml({"text": text})) == {"text": text}


@pytest.mark.parametrize("machine", ["cpu", "cuda"])
def test_nothing_of_this_machine_gets_in(machine: str) -> None:
    assert str(cache_dir()) not in values_yaml(chart_values(plan_for(machine), load_policy()))


@pytest.mark.parametrize("name", ["", "Upper", "under_score", "-dash", "dash-", "1first", "x" * 41, "line\n"])
def test_a_name_that_kubernetes_cannot_use_is_refused(name: str) -> None:
    with pytest.raises(ServingError, match="lower-case letters"):
        chart_values(plan_for("cpu"), load_policy(), name=name)
