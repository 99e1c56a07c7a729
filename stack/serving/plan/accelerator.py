"""What is chosen on an accelerator (pure)."""

from stack.serving.errors import ServingError
from stack.serving.models import CatalogModel, DType
from stack.serving.plan.hardware import Hardware
from stack.serving.plan.memory import own_quantization
from stack.serving.plan.models import KvDType, Reason
from stack.serving.plan.roofline import Rates

UTILIZATION = 0.9
COMPILED = "captured graphs pay for their capture at once"
UNKNOWN_SEQUENCES = 256
MOST_SEQUENCES = 1024
TOKENS_A_REQUEST = 512
"""A request is taken to hold at least this many tokens: more of them than fit into the cache would drive each other out."""
LARGE_DEVICE_BYTES = 75_000_000_000
LARGE_STEP, SMALL_STEP = 8192, 2048
"""Tokens of a step: vLLM 0.32's own defaults for its API server on devices of 70 GiB or more, and on others."""


def check_types(hardware: Hardware, model: CatalogModel, quantization: str | None, kv_cache_dtype: KvDType) -> None:
    """ServingError, with the mend, when the device does not serve the type that the weights have or that was asked for."""
    own, fast = own_quantization(model), serves_fp8(hardware)
    if own is not None and hardware.device in ("cpu", "hpu"):
        raise ServingError(f"{model.name} is published in {own}: no plan for it on {hardware.name}: take an NVIDIA or AMD accelerator, or another model")
    if quantization is not None and own is not None:
        raise ServingError(f"--quantization {quantization}: {model.name} is published in {own} already: leave the option out")
    if quantization is not None and not fast:
        raise ServingError(f"--quantization {quantization}: no fp8 on {hardware.name} that a plan can count on: leave the option out")
    if kv_cache_dtype == "fp8" and not fast:
        raise ServingError(f"--kv-cache-dtype fp8: no fp8 on {hardware.name} that a plan can count on: leave the option out")


def serves_fp8(hardware: Hardware) -> bool:
    """Weights cast as they are loaded: NVIDIA and AMD accelerators with an fp8 rate. Gaudi's plug-in wants calibrated weights instead."""
    return hardware.device in ("cuda", "rocm") and hardware.entry is not None and hardware.entry.peak("fp8") is not None


def computing_type(hardware: Hardware, dtype: DType, quantization: str | None) -> str:
    """The type whose rate bounds a step: fp8 weights multiply in fp8 where the device does; 4-bit weights are widened first."""
    return "fp8" if quantization == "fp8" and serves_fp8(hardware) else dtype.value


def sequences(rates: Rates | None, weight_bytes: float) -> tuple[int, str]:
    """The power of two from which on a step is bound by compute and a larger batch only adds waiting: rate x bytes a weight / (2 x bandwidth)."""
    if rates is None:
        return UNKNOWN_SEQUENCES, "the accelerator's rates are unknown, so vLLM's own default for small devices"
    balance = rates.operations_per_s * weight_bytes / (2.0 * rates.bandwidth_bytes_per_s)
    chosen = 16
    while chosen < min(balance, MOST_SEQUENCES):
        chosen *= 2
    return chosen, f"from {balance:.0f} sequences on a step is bound by compute ({rates.kind} rates), and a larger batch only adds waiting"


def step_tokens(hardware: Hardware) -> tuple[int, str]:
    large = hardware.device_bytes >= LARGE_DEVICE_BYTES
    return (LARGE_STEP, "a large device; vLLM's own default there") if large else (SMALL_STEP, "a small device; vLLM's own default there")


def memory_reasons() -> list[Reason]:
    return [Reason(choice="gpu_memory_utilization", value=str(UTILIZATION), why="the rest stays free for the driver and other processes")]
