"""From inventory and model to an engine plan: pure arithmetic, each choice with its reason.

Memory model: needed = weights + KV cache + runtime. Weights are parameters x bytes per element; KV
bytes per token are 2 x layers x KV heads x head dimension x bytes per element; the runtime's share is
what the engine's processes take beside both, measured (see RUNTIME_BYTES).
"""

import math
from typing import Literal

from pydantic import Field

from stack.evidence.record import Frozen
from stack.hardware_profiles import Accelerator, Inventory
from stack.serving.errors import ServingError
from stack.serving.models import CatalogModel, DType

GIB = 1 << 30
BLOCK_TOKENS = 128
"""vLLM's CPU backend hands out KV cache in blocks of 128 tokens; a CUDA block is smaller and divides it."""
RUNTIME_BYTES: dict[str, int] = {"cpu": 5 * GIB // 2, "cuda": 3 * GIB}
"""What the engine takes beside weights and KV cache. cpu: 1.5 to 2.0 GiB of PSS measured over API server, engine core and
worker of vLLM 0.32 (SmolLM2-135M, idle and with 16 streams), rounded up. cuda: an allowance for context, activations and
graphs, not measured."""
CPU_FULL_SEQUENCES = 4
"""KV target on a CPU: this many sequences of full length at a time; more, when they are shorter."""
CPU_SEQUENCES_PER_CORE = 16
MAX_SEQUENCES = 256
MAX_N = 4
PIN_CORES = 8
"""Threads are bound to cores from this many on. On a small machine shared with other work a bound thread starves: an
engine bound to the core of another, busy one was not ready after 170 s where it takes 27 s alone."""
CUDA_UTILIZATION = 0.9
NATIVE_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Processor flags, as the kernel spells them, of instructions that multiply bfloat16."""


class Reason(Frozen):
    """One choice of the plan: the field, what was chosen, and why."""

    choice: str
    value: str
    why: str


class MemoryArithmetic(Frozen):
    """All in bytes; `left_bytes` = available - weights - KV cache - runtime."""

    available_bytes: int
    weights_bytes: int
    kv_bytes_per_token: int
    kv_cache_bytes: int
    runtime_bytes: int

    @property
    def needed_bytes(self) -> int:
        return self.weights_bytes + self.kv_cache_bytes + self.runtime_bytes

    @property
    def left_bytes(self) -> int:
        return self.available_bytes - self.needed_bytes

    @property
    def kv_tokens(self) -> int:
        """Tokens the KV cache holds, in whole blocks."""
        return self.kv_cache_bytes // (self.kv_bytes_per_token * BLOCK_TOKENS) * BLOCK_TOKENS

    def in_words(self) -> str:
        """The sum on one line, in GiB."""
        parts = {"weights": self.weights_bytes, "KV cache": self.kv_cache_bytes, "runtime": self.runtime_bytes}
        terms = " + ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items())
        return f"{terms} = {self.needed_bytes / GIB:.2f} GiB of {self.available_bytes / GIB:.2f} GiB available"


class EnginePlan(Frozen):
    """How one engine runs one model on one machine. Paths, addresses and keys are not its business."""

    model: str
    device: Literal["cpu", "cuda"]
    device_name: str
    dtype: DType
    max_model_len: int = Field(gt=0, description="Tokens of prompt and answer together")
    max_num_seqs: int = Field(gt=0, description="Requests decoded at a time; more wait in the engine's queue")
    max_n: int = Field(gt=0, description="Highest `n` of a request the engine itself accepts")
    enforce_eager: bool = Field(description="Skip compilation")
    cpu_threads: int | None = Field(default=None, description="Cores that compute; CPU only")
    cpu_reserved: int | None = Field(default=None, description="Cores kept free for API server, gateway and clients; CPU only")
    cpu_pinned: bool | None = Field(default=None, description="Whether each computing thread is bound to a core; CPU only")
    gpu_memory_utilization: float | None = Field(default=None, description="CUDA only")
    memory: MemoryArithmetic
    reasons: tuple[Reason, ...]

    def vllm_arguments(self) -> tuple[str, ...]:
        """Arguments of vLLM's API server; the starter adds `--model`, `--host` and `--port`."""
        arguments = ["--served-model-name", self.model, "--dtype", self.dtype.value]
        arguments += ["--max-model-len", str(self.max_model_len), "--max-num-seqs", str(self.max_num_seqs)]
        if self.device == "cpu":
            arguments += ["--kv-cache-memory-bytes", str(self.memory.kv_cache_bytes)]
        else:
            arguments += ["--gpu-memory-utilization", str(self.gpu_memory_utilization)]
        if self.enforce_eager:
            arguments.append("--enforce-eager")
        return (*arguments, "--no-trust-remote-code", "--load-format", "safetensors")

    def environment(self) -> dict[str, str]:
        """Variables of the engine that follow from the plan or from the rules every engine runs by; no secrets."""
        variables = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        # Its processes talk to each other over loopback, and outlive the gateway's kept connections (UPSTREAM_IDLE_S).
        variables |= {"VLLM_HOST_IP": "127.0.0.1", "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75"}
        variables |= {"VLLM_MAX_N_SEQUENCES": str(self.max_n), "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0"}
        if self.device == "cpu":
            variables["VLLM_CPU_OMP_THREADS_BIND"] = "auto" if self.cpu_pinned else "nobind"
            variables["VLLM_CPU_NUM_OF_RESERVED_CPU"] = str(self.cpu_reserved)
            if not self.cpu_pinned:
                variables["OMP_NUM_THREADS"] = str(self.cpu_threads)
        return variables


def make_plan(inventory: Inventory, model: CatalogModel, *, max_model_len: int | None = None) -> EnginePlan:
    """The plan for this machine; ServingError with the arithmetic in one line when memory is short.

    The first CUDA accelerator whose driver answers is taken, else the CPU. `max_model_len` shortens the context.
    """
    context = model.architecture.context_tokens
    length = context if max_model_len is None else max_model_len
    if not 1 <= length <= context:
        raise ServingError(f"--max-model-len: must be between 1 and {context} (the context of {model.name}), got {length}")
    why = "the whole context the model was made for" if length == context else "asked for"
    reasons = [Reason(choice="max_model_len", value=str(length), why=why)]
    gpu = next((device for device in inventory.accelerators if device.vendor.lower() == "nvidia" and device.source == "nvml"), None)
    return _cuda_plan(gpu, model, length, reasons) if gpu is not None else _cpu_plan(inventory, model, length, reasons)


def _cpu_plan(inventory: Inventory, model: CatalogModel, length: int, reasons: list[Reason]) -> EnginePlan:
    cpu = inventory.cpu
    dtype, why_dtype = _cpu_dtype(cpu.isa, model.conversion.dtype)
    available = _known(inventory.memory.usable_bytes, inventory, "memory.available_bytes")
    cores = max(1, min(math.floor(cpu.usable_cores or 1), cpu.physical_cores or MAX_SEQUENCES))
    reserved, pinned = 1 if cores > 1 else 0, cores >= PIN_CORES
    memory = _arithmetic(model, dtype, "cpu", available=available, length=length, kv_target=length * CPU_FULL_SEQUENCES)
    seqs = min(MAX_SEQUENCES, CPU_SEQUENCES_PER_CORE * cores)
    reasons += [
        Reason(choice="device", value="cpu", why="no CUDA accelerator whose driver answers"),
        Reason(choice="dtype", value=dtype.value, why=why_dtype),
        Reason(
            choice="kv_cache",
            value=f"{memory.kv_cache_bytes / GIB:.2f} GiB",
            why=f"{memory.kv_tokens} tokens at {memory.kv_bytes_per_token} bytes: {memory.kv_tokens / length:.1f} sequences of full length",
        ),
        Reason(choice="max_num_seqs", value=str(seqs), why=f"{CPU_SEQUENCES_PER_CORE} per core on {cores} cores; more wait in the engine's queue"),
        Reason(choice="cpu_threads", value=str(cores - reserved), why=f"one per physical core, {reserved} kept for API server, gateway and clients"),
        Reason(
            choice="cpu_pinned",
            value=str(pinned).lower(),
            why=f"{PIN_CORES} cores or more: bound to cores and memory nodes" if pinned else f"fewer than {PIN_CORES} cores, shared with other work",
        ),
        Reason(choice="enforce_eager", value="true", why="compilation adds minutes to each start on a CPU (165 s against 27 s measured on 2 cores)"),
    ]
    return EnginePlan(
        model=model.name,
        device="cpu",
        device_name=cpu.model or cpu.architecture,
        dtype=dtype,
        max_model_len=length,
        max_num_seqs=seqs,
        max_n=MAX_N,
        enforce_eager=True,
        cpu_threads=cores - reserved,
        cpu_reserved=reserved,
        cpu_pinned=pinned,
        memory=memory,
        reasons=tuple(reasons),
    )


def _cpu_dtype(isa: tuple[str, ...], own: DType) -> tuple[DType, str]:
    """The weights' own type where the processor computes it, else float32: the same values at twice the memory."""
    native = [flag for flag in isa if flag in NATIVE_BFLOAT16]
    if own is DType.FLOAT32 or (own is DType.BFLOAT16 and native):
        return own, "the weights' own type" + (f"; {', '.join(native)} computes it natively" if native else "")
    why = f"no {own.value} instructions found: emulated they run 2 to 9 times slower than float32 (measured on AVX2), which holds the same values"
    return DType.FLOAT32, why


def _cuda_plan(gpu: Accelerator, model: CatalogModel, length: int, reasons: list[Reason]) -> EnginePlan:
    dtype = model.conversion.dtype
    if gpu.memory_bytes is None:
        raise ServingError(f"accelerator {gpu.index} ({gpu.name}): its driver does not say how much memory it has")
    available = int(gpu.memory_bytes * CUDA_UTILIZATION)
    memory = _arithmetic(model, dtype, "cuda", available=available, length=length, kv_target=None)
    reasons += [
        Reason(choice="device", value="cuda", why=f"{gpu.name} answers through its driver"),
        Reason(choice="dtype", value=dtype.value, why="the weights' own type"),
        Reason(choice="gpu_memory_utilization", value=str(CUDA_UTILIZATION), why="the rest stays free for the driver and other processes"),
        Reason(choice="kv_cache", value=f"{memory.kv_cache_bytes / GIB:.2f} GiB", why="what weights and runtime leave; the engine profiles the exact size"),
        Reason(choice="max_num_seqs", value=str(MAX_SEQUENCES), why=f"at {memory.kv_tokens} tokens of KV cache the scheduler, not memory, is the limit"),
        Reason(choice="enforce_eager", value="false", why="CUDA graphs pay for their capture at once"),
    ]
    return EnginePlan(
        model=model.name,
        device="cuda",
        device_name=gpu.name or gpu.vendor,
        dtype=dtype,
        max_model_len=length,
        max_num_seqs=MAX_SEQUENCES,
        max_n=MAX_N,
        enforce_eager=False,
        gpu_memory_utilization=CUDA_UTILIZATION,
        memory=memory,
        reasons=tuple(reasons),
    )


def _arithmetic(model: CatalogModel, dtype: DType, device: Literal["cpu", "cuda"], *, available: int, length: int, kv_target: int | None) -> MemoryArithmetic:
    """KV cache for `kv_target` tokens, or all that is left when None; at least one sequence of `length` must fit."""
    per_token = model.architecture.kv_bytes_per_token(dtype)
    weights, runtime = model.parameters.total * dtype.size_bytes, RUNTIME_BYTES[device]
    block = per_token * BLOCK_TOKENS
    least = math.ceil(length / BLOCK_TOKENS) * block
    room = (available - weights - runtime) // block * block
    wanted = room if kv_target is None else min(room, math.ceil(kv_target / BLOCK_TOKENS) * block)
    memory = MemoryArithmetic(
        available_bytes=available, weights_bytes=weights, kv_bytes_per_token=per_token, kv_cache_bytes=max(wanted, least), runtime_bytes=runtime
    )
    if room < least:
        mend = " or shorten the context with --max-model-len" if length > BLOCK_TOKENS else ""
        raise ServingError(f"memory is short for {model.name} with {length} tokens: {memory.in_words()}: free some{mend}")
    return memory


def _known(value: int | None, inventory: Inventory, field: str) -> int:
    if value is None:
        raise ServingError(f"cannot plan: {field} is unknown ({inventory.reason(field) or 'no probe read it'})")
    return value
