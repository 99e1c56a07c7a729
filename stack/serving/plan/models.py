"""What a plan is (models; no I/O)."""

from typing import Literal

from pydantic import Field

from stack.evidence.record import Frozen
from stack.serving.models import DType
from stack.serving.plan import arguments

GIB = 1 << 30
BLOCK_TOKENS = 128
"""vLLM's CPU backend hands out KV cache in blocks of 128 tokens, as Gaudi's does; a CUDA or ROCm block is smaller and divides it."""

Device = Literal["cpu", "cuda", "rocm", "hpu"]
"""vLLM's platforms: a processor, NVIDIA, AMD, and Gaudi by its plug-in."""
KvDType = Literal["auto", "fp8"]


class Reason(Frozen):
    """One choice of the plan: the field, what was chosen, and why."""

    choice: str
    value: str
    why: str


class Parallel(Frozen):
    """How one engine is spread over devices, and how many such engines the hardware holds."""

    tensor: int = Field(default=1, ge=1, description="Devices that share every layer")
    pipeline: int = Field(default=1, ge=1, description="Stages of consecutive layers")
    data: int = Field(default=1, ge=1, description="Copies of the attention part, each with its own KV cache; experts are spread over all")
    expert: bool = Field(default=False, description="Whole experts lie on single devices instead of slices of all experts on each")
    nodes: int = Field(default=1, ge=1, description="Machines that one engine spans")
    replicas: int = Field(default=1, ge=1, description="Independent engines of this plan that the hardware holds")

    @property
    def devices(self) -> int:
        """Of one engine."""
        return self.tensor * self.pipeline * self.data


class MemoryArithmetic(Frozen):
    """Of the fullest device of one engine, in bytes; `left_bytes` = available - weights - KV cache - activations - runtime."""

    available_bytes: int
    weights_bytes: int
    kv_bytes_per_token: int = Field(description="While every layer reaches back to the token")
    kv_bytes_per_full_sequence: int = Field(description="Of max_model_len tokens; less than their sum with sliding windows")
    kv_cache_bytes: int
    activation_bytes: int = 0
    runtime_bytes: int

    @property
    def needed_bytes(self) -> int:
        return self.weights_bytes + self.kv_cache_bytes + self.activation_bytes + self.runtime_bytes

    @property
    def left_bytes(self) -> int:
        return self.available_bytes - self.needed_bytes

    @property
    def kv_tokens(self) -> int:
        """Tokens the KV cache holds, in whole blocks; with sliding windows it holds more."""
        return self.kv_cache_bytes // (self.kv_bytes_per_token * BLOCK_TOKENS) * BLOCK_TOKENS

    def in_words(self) -> str:
        """The sum on one line, in GiB."""
        parts = {"weights": self.weights_bytes, "KV cache": self.kv_cache_bytes, "activations": self.activation_bytes, "runtime": self.runtime_bytes}
        terms = " + ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items())
        return f"{terms} = {self.needed_bytes / GIB:.2f} GiB of {self.available_bytes / GIB:.2f} GiB available"


class EnginePlan(Frozen):
    """How one engine runs one model on some hardware. Paths, addresses and keys are not its business."""

    model: str
    device: Device
    device_name: str
    dtype: DType
    quantization: str | None = Field(default=None, description="As vLLM spells it; None: the engine reads it from the weights, if there is any")
    parallel: Parallel = Parallel()
    max_model_len: int = Field(gt=0, description="Tokens of prompt and answer together")
    max_num_seqs: int = Field(gt=0, description="Requests decoded at a time by each copy of the attention part; more wait in the engine's queue")
    max_num_batched_tokens: int = Field(gt=0, description="Tokens that each copy computes in one step, of prompts and answers together")
    max_n: int = Field(gt=0, description="Highest `n` of a request the engine itself accepts")
    enforce_eager: bool = Field(description="Skip compilation")
    kv_cache_dtype: KvDType = "auto"
    prefix_caching: bool = True
    chunked_prefill: bool = True
    draft: str | None = Field(default=None, description="Small model that guesses tokens ahead; None: no speculative decoding")
    draft_tokens: int | None = Field(default=None, description="Tokens the draft guesses at a time")
    tool_parser: str | None = Field(default=None, description="Reads the calls of tools the model writes, as vLLM spells it; None: it is offered no tools")
    reasoning_parser: str | None = Field(
        default=None, description="Tells the model's reasoning from its answer, as vLLM spells it; None: whatever it writes is the answer"
    )
    cpu_threads: int | None = Field(default=None, description="Cores that compute; CPU only")
    cpu_reserved: int | None = Field(default=None, description="Cores kept free for API server, gateway and clients; CPU only")
    cpu_pinned: bool | None = Field(default=None, description="Whether each computing thread is bound to a core; CPU only")
    in_process: bool = Field(default=False, description="The engine computes in its own process, without a worker; CPU only")
    gpu_memory_utilization: float | None = Field(default=None, description="Accelerators only")
    memory: MemoryArithmetic
    reasons: tuple[Reason, ...]

    def vllm_arguments(self, served_name: str | None = None) -> tuple[str, ...]:
        """Arguments of vLLM's API server; the starter adds `--model`, `--host` and `--port`. Clients ask for `served_name`, the model's own by default."""
        return arguments.vllm_arguments(self, served_name)

    def environment(self) -> dict[str, str]:
        """Variables of the engine that follow from the plan or from the rules every engine runs by; no secrets."""
        return arguments.environment(self)
