import json
import subprocess
import sys

import pytest

from stack.hardware_profiles import collect_inventory
from stack.serving import CI_MODEL, find_model, make_plan

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


@pytest.mark.slow
def test_the_installed_vllm_understands_every_argument_of_a_plan() -> None:
    plan = make_plan(collect_inventory(), find_model(CI_MODEL))
    cuda = plan.model_copy(update={"device": "cuda", "gpu_memory_utilization": 0.9, "enforce_eager": False})
    given = json.dumps([plan.vllm_arguments(), cuda.vllm_arguments()])
    done = subprocess.run([sys.executable, "-c", PARSE], input=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    on_cpu, on_cuda = json.loads(done.stdout[done.stdout.index("[{") :])
    assert (on_cpu["served_model_name"], on_cpu["dtype"], on_cpu["max_model_len"]) == ([plan.model], plan.dtype, plan.max_model_len)
    assert (on_cpu["max_num_seqs"], on_cpu["kv_cache_memory_bytes"]) == (plan.max_num_seqs, plan.memory.kv_cache_bytes)
    assert (on_cpu["enforce_eager"], on_cpu["trust_remote_code"], on_cpu["load_format"]) == (plan.enforce_eager, False, "safetensors")
    assert (on_cuda["gpu_memory_utilization"], on_cuda["kv_cache_memory_bytes"]) == (0.9, None)
