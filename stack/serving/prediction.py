"""What hardware can reach at most with a planned engine, and how near a measurement came (pure).

The arithmetic is that of `stack.serving.plan.roofline`, on measured rates where there is a profile and on published ones where not.
Links between devices, scheduling, sampling and the network come on top, so these are ceilings, not forecasts.
"""

from pydantic import Field

from stack.evidence.record import Frozen
from stack.hardware_profiles.profile import Profile
from stack.serving.models import CatalogModel
from stack.serving.plan.accelerator import computing_type
from stack.serving.plan.hardware import Hardware
from stack.serving.plan.load import device_rates, load_of
from stack.serving.plan.memory import own_quantization
from stack.serving.plan.models import EnginePlan
from stack.serving.plan.roofline import SOURCE, Load, Rates

__all__ = ["Beside", "Load", "Prediction", "Predictions", "Rates", "beside", "predict", "predict_plan", "used_share"]


class Prediction(Frozen):
    """Ceilings of one engine: of the class computed, from the rates of one device that are named."""

    dtype: str = Field(description="What the device multiplies in")
    batch: int = Field(gt=0, description="Sequences decoded at a time")
    context_tokens: int = Field(gt=0, description="Tokens before the one that is decoded, of each sequence")
    decode_tokens_per_s: float = Field(description="Of all sequences together")
    decode_bound: str = Field(description="memory or compute: what takes longer in a step")
    prefill_tokens_per_s: float
    bytes_per_step: float = Field(description="Of one device")
    bandwidth_bytes_per_s: float
    bandwidth_from: str
    operations_per_s: float
    operations_from: str
    rates_class: str = Field(default="measured", description="measured, published, or unverified: published at second hand")
    doubts: tuple[str, ...] = Field(default=(), description="Verdicts of the profile on the rates that were used")
    source: str = SOURCE

    @property
    def decode_tokens_per_s_per_sequence(self) -> float:
        return self.decode_tokens_per_s / self.batch


class Predictions(Frozen):
    """Of a plan; none with the reason when the rates are unknown."""

    cases: tuple[Prediction, ...]
    reason: str = ""


def predict(rates: Rates, load: Load, *, dtype: str, batch: int = 1, context_tokens: int = 1) -> Prediction:
    """`rates` are those of one device, `load` what an engine of such devices moves and computes."""
    of_memory, of_compute = load.step_s(rates, batch, context_tokens)
    return Prediction(
        dtype=dtype,
        batch=batch,
        context_tokens=context_tokens,
        decode_tokens_per_s=batch / max(of_memory, of_compute),
        decode_bound="memory" if of_memory >= of_compute else "compute",
        prefill_tokens_per_s=load.prefill_tokens_per_s(rates),
        bytes_per_step=of_memory * rates.bandwidth_bytes_per_s,
        bandwidth_bytes_per_s=rates.bandwidth_bytes_per_s,
        bandwidth_from=rates.bandwidth_from,
        operations_per_s=rates.operations_per_s,
        operations_from=rates.operations_from,
        rates_class=rates.kind,
        doubts=rates.doubts,
    )


def predict_plan(
    plan: EnginePlan, model: CatalogModel, hardware: Hardware, *, profile: Profile | None = None, case: tuple[int, int] | None = None
) -> Predictions:
    """For `case`, sequences at a time and the context of each; without it one sequence at its start and at its full length, and as many as the plan
    decodes at a time with what its KV cache holds of each.

    ServingError when the profile is of another kind of device, or lacks what is needed.
    """
    quantization = plan.quantization or own_quantization(model)
    dtype = computing_type(hardware, plan.dtype, quantization)
    rates = device_rates(hardware, dtype, profile)
    if rates is None:
        return Predictions(cases=(), reason=f"the rates of {hardware.name} are not in the catalog: measure them with `stackproof profile` and give --profile")
    load = load_of(model, plan.memory, plan.parallel, dtype=plan.dtype, quantization=quantization)
    full = min(plan.max_model_len, max(1, plan.memory.kv_tokens // plan.max_num_seqs))
    cases = dict.fromkeys([case] if case else [(1, 1), (1, plan.max_model_len), (plan.max_num_seqs * plan.parallel.data, full)])
    return Predictions(cases=tuple(predict(rates, load, dtype=dtype, batch=batch, context_tokens=context) for batch, context in cases))


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
