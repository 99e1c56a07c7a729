"""What a profile says a model can reach at most, and how near a measurement came (pure).

A step of the decoder reads every active weight once and the keys and values of every token before; its arithmetic is 2 operations per
active weight and sequence. The step takes as long as the slower of the two: the roofline of S. Williams et al. (CACM 52(4), 2009)
applied as in R. Pope et al., "Efficiently Scaling Transformer Inference" (MLSys 2023), section 2. The 2 operations per weight and token
are J. Kaplan et al. (arXiv:2001.08361), table 1, without the attention over the context. Scheduling, sampling and the network
come on top, so these are ceilings, not forecasts.
"""

from pydantic import Field

from stack.evidence.record import Frozen
from stack.hardware_profiles.profile import Profile
from stack.hardware_profiles.profile.models import SCALE
from stack.hardware_profiles.profile.roofline import best_bandwidth
from stack.serving.errors import ServingError
from stack.serving.models import CatalogModel
from stack.serving.plan import EnginePlan

SOURCE = "roofline (Williams 2009) over weights and KV cache moved a step (Pope 2023), 2 operations per active weight and token (Kaplan 2020)"


class Prediction(Frozen):
    """Ceilings of the class computed, from the measured rates that are named."""

    dtype: str
    batch: int = Field(gt=0, description="Sequences decoded at a time")
    context_tokens: int = Field(gt=0, description="Tokens before the one that is decoded, of each sequence")
    decode_tokens_per_s: float = Field(description="Of all sequences together")
    decode_bound: str = Field(description="memory or compute: what takes longer in a step")
    prefill_tokens_per_s: float
    bytes_per_step: float
    bandwidth_bytes_per_s: float
    bandwidth_from: str
    operations_per_s: float
    operations_from: str
    doubts: tuple[str, ...] = Field(default=(), description="Verdicts of the profile on the rates that were used")
    source: str = SOURCE

    @property
    def decode_tokens_per_s_per_sequence(self) -> float:
        return self.decode_tokens_per_s / self.batch


def predict(
    profile: Profile, *, weights_bytes: int, active_parameters: int, kv_bytes_per_token: int, dtype: str, batch: int = 1, context_tokens: int = 1
) -> Prediction:
    """`weights_bytes` are those that one step reads: for a mixture of experts only the active ones, at batch 1.

    ServingError when the profile has no usable memory bandwidth, or no product in `dtype`.
    """
    memory, product = best_bandwidth(profile), profile.find(f"gemm.{dtype}")
    if memory is None or memory.median is None:
        raise ServingError("the profile has no memory bandwidth: take it with --only gemm,memory")
    if product is None or product.median is None:
        raise ServingError(f"the profile has no product in {dtype}: take it with --only gemm,memory on the device that is to serve")
    bandwidth, operations = memory.median * SCALE[memory.unit], product.median * SCALE[product.unit]
    moved = float(weights_bytes + batch * context_tokens * kv_bytes_per_token)
    of_memory, of_compute = moved / bandwidth, 2.0 * active_parameters * batch / operations
    return Prediction(
        dtype=dtype,
        batch=batch,
        context_tokens=context_tokens,
        decode_tokens_per_s=batch / max(of_memory, of_compute),
        decode_bound="memory" if of_memory >= of_compute else "compute",
        prefill_tokens_per_s=operations / (2.0 * active_parameters),
        bytes_per_step=moved,
        bandwidth_bytes_per_s=bandwidth,
        bandwidth_from=memory.name,
        operations_per_s=operations,
        operations_from=product.name,
        doubts=tuple(f"{each.name} is {each.status}: {each.reason}" for each in (memory, product) if each.status != "ok"),
    )


def predict_plan(profile: Profile, plan: EnginePlan, model: CatalogModel) -> tuple[Prediction, ...]:
    """One sequence at its start and at its full length, and as many as the plan decodes at a time with what its KV cache holds of each.

    ServingError when the profile is of another kind of device, or lacks what is needed.
    """
    if plan.device != profile.device.partition(":")[0]:
        raise ServingError(f"the profile is of {profile.device}, the plan is for {plan.device}: take it with --device {plan.device}")
    full = min(plan.max_model_len, max(1, plan.memory.kv_tokens // plan.max_num_seqs))
    cases = dict.fromkeys([(1, 1), (1, plan.max_model_len), (plan.max_num_seqs, full)])
    return tuple(
        predict(
            profile,
            weights_bytes=plan.memory.weights_bytes,
            active_parameters=model.parameters.active,
            kv_bytes_per_token=plan.memory.kv_bytes_per_token,
            dtype=plan.dtype.value,
            batch=batch,
            context_tokens=context,
        )
        for batch, context in cases
    )


class Beside(Frozen):
    """A measured rate over its ceiling. Over 1 the profile was taken on a busier machine or another device, or less was moved than assumed."""

    what: str
    predicted_tokens_per_s: float
    measured_tokens_per_s: float | None
    ratio: float | None


def beside(prediction: Prediction, *, output_tokens_per_s: float | None, input_tokens_per_s: float | None = None) -> tuple[Beside, Beside]:
    """Decode and prefill. The two share the machine in a real run, so each ratio alone is a lower bound of how well it was used."""
    return (
        _beside("decode", prediction.decode_tokens_per_s, output_tokens_per_s),
        _beside("prefill", prediction.prefill_tokens_per_s, input_tokens_per_s),
    )


def used_share(rows: tuple[Beside, ...]) -> float | None:
    """Decode and prefill together: the share of the machine's time that an ideal engine would have needed; None when a rate is unknown."""
    ratios = [row.ratio for row in rows]
    return None if None in ratios else sum(ratio for ratio in ratios if ratio is not None)


def _beside(what: str, predicted: float, measured: float | None) -> Beside:
    return Beside(what=what, predicted_tokens_per_s=predicted, measured_tokens_per_s=measured, ratio=None if measured is None else measured / predicted)
