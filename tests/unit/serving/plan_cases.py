"""The plans that have a golden file each: what they are for, by name."""

from pathlib import Path
from typing import Any

from stack.hardware_profiles import Inventory
from stack.serving.models import find_model
from stack.serving.plan import EnginePlan, Hardware, catalog_hardware, inventory_hardware, make_plan, parse_service_level
from stack.serving.prediction import predict_plan

GOLDEN = Path(__file__).parent / "golden"
MACHINES = Path(__file__).parents[2] / "data" / "machines"
CASES: dict[str, dict[str, Any]] = {
    "cpu": {"machine": "cpu", "model": "smollm2-135m-instruct"},
    "one-gpu-inventory": {"machine": "cuda", "model": "llama-3.1-8b-instruct"},
    "l4": {"hardware": "l4", "model": "llama-3.1-8b-instruct"},
    "l40s": {"hardware": "l40s", "model": "phi-4"},
    "l40s-fp8": {"hardware": "l40s", "model": "phi-4", "quantization": "fp8", "kv_cache_dtype": "fp8"},
    "h100-1": {"hardware": "h100-sxm", "model": "llama-3.1-8b-instruct"},
    "h100-2-mxfp4": {"hardware": "h100-sxm:2", "model": "gpt-oss-120b"},
    "h100-2-fp8": {"hardware": "h100-sxm:2", "model": "llama-3.3-70b-instruct", "quantization": "fp8"},
    "h100-4": {"hardware": "h100-sxm:4", "model": "llama-3.3-70b-instruct"},
    "h100-8": {"hardware": "h100-sxm:8", "model": "llama-3.3-70b-instruct"},
    "h100-8-slo": {"hardware": "h100-sxm:8", "model": "llama-3.3-70b-instruct", "slo": "ttft_p99=500ms,tpot_p99=50ms"},
    "h100-8-draft": {"hardware": "h100-sxm:8", "model": "llama-3.3-70b-instruct", "draft": "llama-3.2-3b-instruct"},
    "h100-8-experts": {"hardware": "h100-sxm:8", "model": "mixtral-8x7b-instruct-v0.1"},
    "h100-8x2": {"hardware": "h100-sxm:8x2", "model": "llama-3.1-405b-instruct"},
    "h200-8-latent": {"hardware": "h200-sxm:8", "model": "deepseek-v3"},
    "h200": {"hardware": "h200-sxm", "model": "gemma-3-27b-it"},
    "b200": {"hardware": "b200", "model": "gpt-oss-120b"},
    "mi300x": {"hardware": "mi300x", "model": "llama-3.3-70b-instruct"},
    "gaudi3": {"hardware": "gaudi3:8", "model": "llama-3.3-70b-instruct"},
}


def hardware_of(case: dict[str, Any]) -> Hardware:
    if "hardware" in case:
        return catalog_hardware(case["hardware"])
    return inventory_hardware(Inventory.model_validate_json((MACHINES / f"{case['machine']}.json").read_text()))


def plan_of(name: str) -> EnginePlan:
    case = CASES[name]
    asked = {option: case[option] for option in ("quantization", "kv_cache_dtype") if option in case}
    draft = find_model(case["draft"]) if "draft" in case else None
    level = parse_service_level(case["slo"]) if "slo" in case else None
    return make_plan(hardware_of(case), find_model(case["model"]), draft=draft, level=level, **asked)


def document_of(name: str) -> dict[str, Any]:
    """What a golden file holds: the plan, its rendering for vLLM, and what the roofline says of it, in four digits."""
    case, plan = CASES[name], plan_of(name)
    predictions = predict_plan(plan, find_model(case["model"]), hardware_of(case))
    rates = [
        {"batch": each.batch, "context": each.context_tokens, "decode": f"{each.decode_tokens_per_s:.4g}", "prefill": f"{each.prefill_tokens_per_s:.4g}"}
        | {"bound": each.decode_bound, "rates": each.rates_class}
        for each in predictions.cases
    ]
    return {
        "plan": plan.model_dump(mode="json"),
        "vllm": list(plan.vllm_arguments()),
        "environment": plan.environment(),
        "predictions": rates,
        "predictions_reason": predictions.reason,
    }
