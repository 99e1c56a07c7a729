"""One file a plan; `UPDATE_GOLDEN=1 pytest tests/unit/serving/test_golden_plans.py` rewrites them, for review."""

import json
import os

import pytest
from plan_cases import CASES, GOLDEN, document_of, hardware_of, plan_of

from stack.serving.models import find_model
from stack.serving.plan import EnginePlan, plan_memory


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_what_its_golden_file_says(name: str) -> None:
    path, made = GOLDEN / f"{name}.json", document_of(name)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(made, indent=1) + "\n")
    assert json.loads(path.read_text()) == json.loads(json.dumps(made)), "run it once with UPDATE_GOLDEN=1 and review the difference"


@pytest.mark.parametrize("name", CASES)
def test_the_arithmetic_of_a_stored_plan_can_be_done_again_from_the_models_facts(name: str) -> None:
    case = CASES[name]
    draft = find_model(case["draft"]) if "draft" in case else None
    assert plan_memory(plan_of(name), find_model(case["model"]), draft=draft) == plan_of(name).memory


def test_every_golden_file_belongs_to_a_plan() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_plan_fits_gives_reasons_and_survives_its_own_json(name: str) -> None:
    plan, hardware = plan_of(name), hardware_of(CASES[name])
    assert plan.memory.left_bytes >= 0
    assert plan.memory.kv_cache_bytes >= plan.memory.kv_bytes_per_full_sequence
    assert plan.parallel.devices * plan.parallel.replicas <= hardware.devices
    assert plan.max_num_batched_tokens >= plan.max_num_seqs
    assert all(reason.value and reason.why for reason in plan.reasons)
    assert len({reason.choice for reason in plan.reasons}) == len(plan.reasons)
    assert EnginePlan.model_validate_json(plan.model_dump_json()) == plan
