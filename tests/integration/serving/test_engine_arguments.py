"""Every plan's arguments by the installed vLLM's own parser and by what it builds from them; every Ray configuration by Ray's own model."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stack.hardware_profiles import collect_inventory
from stack.serving import CI_MODEL, find_model, make_plan
from stack.serving.plan import EnginePlan
from stack.serving.plan.arguments import IN_PROCESS
from stack.serving.ray_serve import serve_config

pytestmark = pytest.mark.slow
GOLDEN = Path(__file__).parents[2] / "unit" / "serving" / "golden"
PLANS = {path.stem: EnginePlan.model_validate(json.loads(path.read_text())["plan"]) for path in sorted(GOLDEN.glob("*.json"))}

# vLLM's own parser, and what it made of the arguments.
PARSE = """
import json, sys
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
parsed = [vars(parser.parse_args(arguments)) for arguments in json.load(sys.stdin)]
json.dump(parsed, sys.stdout, default=str)
"""

# Ray's own model of a configuration, and the engine arguments that it hands to vLLM's own class.
RAY = """
import dataclasses, json, sys
from ray.llm._internal.serve.core.ingress.builder import LLMServingArgs
from ray.llm._internal.serve.serving_patterns.data_parallel.builder import DPOpenAiServingArgs
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import FrontendArgs
known = {field.name for of in (AsyncEngineArgs, FrontendArgs) for field in dataclasses.fields(of)}
found = []
builders = {"ray.serve.llm:build_openai_app": lambda args: LLMServingArgs.model_validate(args).llm_configs[0],
    "ray.serve.llm:build_dp_openai_app": lambda args: DPOpenAiServingArgs.model_validate(args).llm_config}
for given in json.load(sys.stdin):
    config = builders[given["import_path"]](given["args"])
    found.append({"unknown": sorted(set(config.engine_kwargs) - known), "accelerator": config.accelerator_config.kind, "id": config.model_id})
json.dump(found, sys.stdout)
"""


def run(program: str, given: list[Any], *, until: str) -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-c", program], input=json.dumps(given), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout[done.stdout.index(until) :])
    return found


def test_the_installed_vllm_understands_every_argument_of_every_plan() -> None:
    here = make_plan(collect_inventory(), find_model(CI_MODEL))
    plans = [here, *PLANS.values()]
    for plan, parsed in zip(plans, run(PARSE, [plan.vllm_arguments() for plan in plans], until="[{"), strict=True):
        spread = plan.parallel
        assert (parsed["served_model_name"], parsed["dtype"], parsed["max_model_len"]) == ([plan.model], plan.dtype, plan.max_model_len)
        assert (parsed["max_num_seqs"], parsed["max_num_batched_tokens"]) == (plan.max_num_seqs, plan.max_num_batched_tokens)
        assert (parsed["enforce_eager"], parsed["trust_remote_code"], parsed["load_format"]) == (plan.enforce_eager, False, "safetensors")
        assert (parsed["tensor_parallel_size"], parsed["pipeline_parallel_size"], parsed["data_parallel_size"]) == (spread.tensor, spread.pipeline, spread.data)
        assert parsed["enable_expert_parallel"] is spread.expert
        assert parsed["distributed_executor_backend"] == ("ray" if spread.nodes > 1 else IN_PROCESS if plan.in_process else None)
        assert (parsed["enable_prefix_caching"], parsed["enable_chunked_prefill"]) == (True, True)
        assert (parsed["quantization"], parsed["kv_cache_dtype"]) == (plan.quantization, plan.kv_cache_dtype)
        assert parsed["kv_cache_memory_bytes"] == (plan.memory.kv_cache_bytes if plan.device == "cpu" else None)
        assert (parsed["speculative_config"] or {}).get("model") == plan.draft
        assert parsed["reasoning_parser"] == (plan.reasoning_parser or "")
        assert (parsed["tool_call_parser"], parsed["enable_auto_tool_choice"]) == (plan.tool_parser, plan.tool_parser is not None)
        if plan.gpu_memory_utilization is not None:
            assert parsed["gpu_memory_utilization"] == plan.gpu_memory_utilization


@pytest.mark.skipif(importlib.util.find_spec("grpc_reflection") is None, reason="Ray Serve's modules need grpcio-reflection")
def test_rays_own_model_takes_every_plan_and_vllms_own_class_every_engine_argument() -> None:
    plans = [plan for plan in PLANS.values() if plan.device != "hpu"]
    for plan, told in zip(plans, run(RAY, [serve_config(plan)["applications"][0] for plan in plans], until="[{"), strict=True):
        assert told["unknown"] == []
        assert (told["id"], told["accelerator"]) == (plan.model, "cpu" if plan.device == "cpu" else "gpu")
