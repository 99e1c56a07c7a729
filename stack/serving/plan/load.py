"""What a planned engine moves and computes in a step, and on which rates (pure)."""

from stack.hardware_profiles.profile import Profile
from stack.serving.architecture import WEIGHT_BITS, DType
from stack.serving.errors import ServingError
from stack.serving.models import CatalogModel
from stack.serving.plan.hardware import Hardware
from stack.serving.plan.memory import expert_parameters
from stack.serving.plan.models import MemoryArithmetic, Parallel
from stack.serving.plan.roofline import Load, Rates, measured_rates, published_rates


def device_rates(hardware: Hardware, dtype: str, profile: Profile | None) -> Rates | None:
    """Of one device: measured when there is a profile, else the catalog's; None when neither is known. `dtype`: what it multiplies in.

    ServingError when the profile is of another kind of device, or lacks what is needed.
    """
    if profile is None:
        return published_rates(hardware.entry, dtype) if hardware.entry is not None else None
    measured = profile.device.partition(":")[0]
    # A profile of ROCm says cuda, as its torch does.
    if measured not in ({"cuda", "rocm"} if hardware.device == "rocm" else {hardware.device}):
        raise ServingError(f"the profile is of {profile.device}, the plan is for {hardware.device}: take it with --device {hardware.device}")
    return measured_rates(profile, dtype)


def load_of(model: CatalogModel, memory: MemoryArithmetic, spread: Parallel, *, dtype: DType, quantization: str | None) -> Load:
    """One step of an engine that is spread so."""
    shape = model.architecture
    experts, window = shape.experts, shape.sliding_window
    bits = WEIGHT_BITS.get(quantization or "", 8.0 * dtype.size_bytes)
    whole = spread.devices if spread.expert else spread.tensor * spread.pipeline
    return Load(
        weights_bytes=memory.weights_bytes,
        active_parameters=model.parameters.active,
        kv_bytes_per_token=memory.kv_bytes_per_token,
        windowed_share=window.layers / shape.caching_layers if window else 0.0,
        window_tokens=window.tokens if window else 0,
        expert_bytes=min(memory.weights_bytes, int(expert_parameters(model) * bits / 8 / whole)) if experts else 0,
        expert_share=experts.active / experts.total if experts else 1.0,
        wide=spread.tensor * spread.data,
        copies=spread.data,
        stages=spread.pipeline,
    )
