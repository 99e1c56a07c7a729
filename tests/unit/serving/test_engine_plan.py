from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_cases import hardware_of

from stack.hardware_profiles import Accelerator, Inventory
from stack.serving.errors import ServingError
from stack.serving.models import CI_MODEL, find_model
from stack.serving.plan import BLOCK_TOKENS, GIB, EnginePlan, make_plan
from stack.serving.plan.cpu import CPU_FULL_SEQUENCES, PIN_CORES

MakeInventory = Callable[..., Inventory]
MODEL = find_model(CI_MODEL)


def test_a_small_cpu_gets_the_whole_context_and_computes_on_all_cores_in_one_process(make_inventory: MakeInventory) -> None:
    plan = make_plan(make_inventory(cores=2), MODEL)
    assert (plan.device, plan.dtype, plan.max_model_len, plan.cpu_threads, plan.cpu_reserved) == ("cpu", "bfloat16", 8192, 2, 0)
    assert plan.memory.weights_bytes == 134515008 * 2
    assert plan.memory.kv_tokens == 8192 * CPU_FULL_SEQUENCES
    assert plan.environment()["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert plan.environment()["OMP_NUM_THREADS"] == "2"
    assert "vllm.v1.executor.uniproc_executor.UniProcExecutor" in plan.vllm_arguments()


def test_a_large_cpu_binds_its_threads(make_inventory: MakeInventory) -> None:
    plan = make_plan(make_inventory(cores=PIN_CORES), MODEL)
    assert plan.environment()["VLLM_CPU_OMP_THREADS_BIND"] == "auto"
    assert "OMP_NUM_THREADS" not in plan.environment()
    assert "--distributed-executor-backend" not in plan.vllm_arguments()


def test_a_model_is_compiled_unless_something_speaks_against_it(make_inventory: MakeInventory) -> None:
    compiled, eager = make_plan(make_inventory(), MODEL), make_plan(make_inventory(), MODEL, eager="no compiler here")
    assert ("--enforce-eager" in compiled.vllm_arguments(), "--enforce-eager" in eager.vllm_arguments()) == (False, True)
    assert [reason.why for reason in eager.reasons if reason.choice == "enforce_eager"] == ["no compiler here"]


def test_every_number_in_the_plan_has_its_reason(make_inventory: MakeInventory) -> None:
    plan = make_plan(make_inventory(), MODEL)
    assert {"device", "dtype", "max_model_len", "max_num_seqs", "kv_cache", "cpu_threads", "enforce_eager"} <= {reason.choice for reason in plan.reasons}
    assert all(reason.why for reason in plan.reasons)


@pytest.mark.parametrize(
    ("model", "parser", "why"),
    [
        ("gpt-oss-20b", "openai_gptoss", "parts what this model thinks"),
        ("qwen3-8b", "qwen3", "parts what this model thinks"),
        ("granite-3.3-8b-instruct", None, "parser granite cannot tell where reasoning ends"),
        ("smollm2-135m-instruct", None, "names no form in which this model thinks"),
    ],
)
def test_reasoning_is_parted_from_the_answer_where_that_leaves_schemas_in_force(model: str, parser: str | None, why: str) -> None:
    plan = make_plan(hardware_of({"hardware": "h100-sxm:2"}), find_model(model))
    (told,) = [reason for reason in plan.reasons if reason.choice == "reasoning_parser"]
    assert (plan.reasoning_parser, told.value) == (parser, parser or "none")
    assert why in told.why
    arguments = plan.vllm_arguments()
    assert ("--reasoning-parser" in arguments) is (parser is not None)
    assert parser is None or arguments[arguments.index("--reasoning-parser") + 1] == parser


def test_short_memory_shrinks_the_kv_cache_before_it_refuses(make_inventory: MakeInventory) -> None:
    tight = make_plan(make_inventory(available_bytes=int(3.2 * GIB)), MODEL)
    assert tight.max_model_len <= tight.memory.kv_tokens < 8192 * CPU_FULL_SEQUENCES
    assert 0 <= tight.memory.left_bytes < tight.memory.kv_bytes_per_token * BLOCK_TOKENS


def test_what_cannot_fit_is_refused_with_the_arithmetic_and_the_mends_in_one_line(make_inventory: MakeInventory) -> None:
    sum_of = r"weights 0\.25 \+ KV cache 0\.18 \+ activations 0\.0\d \+ runtime 2\.50 = 2\.9\d GiB of 2\.90 GiB available"
    with pytest.raises(ServingError, match=f"memory is short .* {sum_of}: free 0\\.0\\d GiB or shorten .* --max-model-len \\d+") as caught:
        make_plan(make_inventory(available_bytes=int(2.9 * GIB)), MODEL, max_model_len=8192)
    assert "\n" not in str(caught.value)
    mend = int(str(caught.value).rpartition(" ")[2])
    assert make_plan(make_inventory(available_bytes=int(2.9 * GIB)), MODEL, max_model_len=mend).memory.left_bytes >= 0


def test_a_context_nobody_asked_for_is_the_longest_that_fits(make_inventory: MakeInventory) -> None:
    plan = make_plan(make_inventory(available_bytes=int(2.9 * GIB)), MODEL)
    assert 2048 <= plan.max_model_len < 8192
    with pytest.raises(ServingError, match="memory is short"):
        make_plan(make_inventory(available_bytes=int(2.9 * GIB)), MODEL, max_model_len=plan.max_model_len + BLOCK_TOKENS)


def test_unknown_memory_is_refused_rather_than_guessed(make_inventory: MakeInventory) -> None:
    with pytest.raises(ServingError, match=r"memory\.available_bytes is unknown"):
        make_plan(make_inventory(available_bytes=None), MODEL)


@pytest.mark.parametrize("length", [0, -1, 8193])
def test_a_context_the_model_does_not_have_is_refused(make_inventory: MakeInventory, length: int) -> None:
    with pytest.raises(ServingError, match=f"--max-model-len: must be between 1 and 8192 .* got {length}"):
        make_plan(make_inventory(), MODEL, max_model_len=length)


def test_a_gpu_that_answers_is_preferred_and_one_only_on_the_bus_is_not(make_inventory: MakeInventory, gpu: Accelerator) -> None:
    plan = make_plan(make_inventory(accelerators=(gpu,)), MODEL)
    assert (plan.device, plan.device_name, plan.enforce_eager) == ("cuda", "1 x A GPU", False)
    assert "--gpu-memory-utilization" in plan.vllm_arguments()
    assert not any(name.startswith("VLLM_CPU") for name in plan.environment())
    silent = gpu.model_copy(update={"source": "pci"})
    assert make_plan(make_inventory(accelerators=(silent,)), MODEL).device == "cpu"


def test_every_engine_is_offline_silent_and_runs_no_foreign_code(make_inventory: MakeInventory, gpu: Accelerator) -> None:
    for plan in (make_plan(make_inventory(), MODEL), make_plan(make_inventory(accelerators=(gpu,)), MODEL)):
        assert {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_MAX_N_SEQUENCES": "4"}.items() <= plan.environment().items()
        assert "--no-trust-remote-code" in plan.vllm_arguments()
        assert plan.vllm_arguments()[plan.vllm_arguments().index("--load-format") + 1] == "safetensors"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cores=st.integers(1, 512), available=st.integers(0, 2048 * GIB), length=st.integers(1, 8192))
def test_a_plan_fits_or_is_refused_and_survives_its_own_json(make_inventory: MakeInventory, cores: int, available: int, length: int) -> None:
    try:
        plan = make_plan(make_inventory(cores=cores, available_bytes=available), MODEL, max_model_len=length)
    except ServingError:
        return
    assert plan.memory.left_bytes >= 0
    assert plan.memory.kv_tokens >= length
    assert plan.cpu_threads is not None
    assert 1 <= plan.cpu_threads <= cores
    assert EnginePlan.model_validate_json(plan.model_dump_json()) == plan


def test_a_cpu_without_bfloat16_instructions_computes_in_float32(make_inventory: MakeInventory) -> None:
    plan, native = make_plan(make_inventory(isa=("avx2",)), MODEL), make_plan(make_inventory(), MODEL)
    assert plan.dtype == "float32"
    assert plan.memory.weights_bytes == 134515008 * 4
    assert plan.memory.kv_bytes_per_token == 2 * native.memory.kv_bytes_per_token
