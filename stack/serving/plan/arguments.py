"""A plan as vLLM's arguments and environment (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stack.serving.plan.models import EnginePlan

IN_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
"""Spelled as a class: on a CPU vLLM takes its short name, `uni`, for its default, which starts a worker."""
GRAMMARS = "xgrammar"
"""The only compiler of grammars: `bodies/json_schemas.py` bounds what it takes, and no others are fallen back to."""
GAUDI_BLOCK = 128
"""Tokens of a KV block that Gaudi's plug-in is built for."""

NO_HOST = "media.invalid"
"""The only host whose pictures and sounds an engine would fetch: no such name exists (RFC 2606). An empty list would allow all."""


def engine_options(plan: EnginePlan) -> dict[str, Any]:
    """Fields of vLLM's engine arguments with their values; what vLLM would choose alike is left out, but for what the plan reasons about."""
    spread = plan.parallel
    options: dict[str, Any] = {"dtype": plan.dtype.value, "max_model_len": plan.max_model_len, "max_num_seqs": plan.max_num_seqs}
    options["max_num_batched_tokens"] = plan.max_num_batched_tokens
    named = {"quantization": plan.quantization, "reasoning_parser": plan.reasoning_parser}
    options |= {name: value for name, value in named.items() if value is not None}
    if plan.kv_cache_dtype != "auto":
        options["kv_cache_dtype"] = plan.kv_cache_dtype
    if plan.device == "cpu":
        options["kv_cache_memory_bytes"] = plan.memory.kv_cache_bytes
    else:
        options["gpu_memory_utilization"] = plan.gpu_memory_utilization
    if plan.device == "hpu":
        options["block_size"] = GAUDI_BLOCK
    sizes = {"tensor_parallel_size": spread.tensor, "pipeline_parallel_size": spread.pipeline, "data_parallel_size": spread.data}
    options |= {name: size for name, size in sizes.items() if size > 1}
    if spread.expert:
        options["enable_expert_parallel"] = True
    if spread.nodes > 1:
        options["distributed_executor_backend"] = "ray"
    elif plan.in_process:
        options["distributed_executor_backend"] = IN_PROCESS
    options |= {"enable_prefix_caching": plan.prefix_caching, "enable_chunked_prefill": plan.chunked_prefill}
    if plan.draft is not None:
        options["speculative_config"] = {"method": "draft_model", "model": plan.draft, "num_speculative_tokens": plan.draft_tokens}
    if plan.enforce_eager:
        options["enforce_eager"] = True
    options |= {"allowed_media_domains": [NO_HOST], "mm_hasher_algorithm": "sha256", "structured_outputs_config": {"backend": GRAMMARS}}
    return {**options, "trust_remote_code": False, "load_format": "safetensors"}


def server_options(plan: EnginePlan) -> dict[str, Any]:
    """Fields of vLLM's arguments that are its API server's, not the engine's."""
    # Without a parser vLLM refuses all tools, forced calls included.
    return {"enable_auto_tool_choice": True, "tool_call_parser": plan.tool_parser} if plan.tool_parser is not None else {}


def vllm_arguments(plan: EnginePlan, served_name: str | None = None) -> tuple[str, ...]:
    """`engine_options` and `server_options` on a command line, with the name clients ask for."""
    arguments = ["--served-model-name", served_name or plan.model]
    for name, value in (engine_options(plan) | server_options(plan)).items():
        arguments += _argument(name.replace("_", "-"), value)
    return tuple(arguments)


def _argument(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, dict):
        # One argument a key, so that no JSON text has to survive a shell.
        return [part for key, inner in value.items() for part in (f"--{name}.{key}", str(inner))]
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}", str(value)]


def environment(plan: EnginePlan) -> dict[str, str]:
    """Variables of the engine that follow from the plan or from the rules every engine runs by; no secrets."""
    variables = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if plan.parallel.nodes == 1:
        variables["VLLM_HOST_IP"] = "127.0.0.1"  # its processes talk to each other over loopback
    variables |= {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75"}  # it outlives the gateway's kept connections (UPSTREAM_IDLE_S)
    variables |= {"VLLM_MAX_N_SEQUENCES": str(plan.max_n), "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0"}
    if plan.device == "cpu":
        variables["VLLM_CPU_OMP_THREADS_BIND"] = "auto" if plan.cpu_pinned else "nobind"
        variables["VLLM_CPU_NUM_OF_RESERVED_CPU"] = str(plan.cpu_reserved)
        if not plan.cpu_pinned:
            variables["OMP_NUM_THREADS"] = str(plan.cpu_threads)
        if not plan.enforce_eager:
            # vLLM 0.32 stores what it compiled ahead of time in a form that it fails to load; what PyTorch stores is found again.
            variables["VLLM_USE_AOT_COMPILE"] = "0"
    return variables
