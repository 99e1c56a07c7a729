"""How long a step of the engine takes at least: the roofline (pure).

A step reads every weight it needs once, and the keys and values of every token before; its arithmetic is 2 operations per active weight
and token. It takes as long as the slower of the two: S. Williams et al. (CACM 52(4), 2009), applied as in R. Pope et al., "Efficiently
Scaling Transformer Inference" (MLSys 2023), section 2. The 2 operations per weight and token are J. Kaplan et al. (arXiv:2001.08361),
table 1, without the attention over the context. Links between devices, scheduling, sampling and the network come on top.
"""

from dataclasses import dataclass
from typing import Literal

from stack.hardware_profiles.catalog import Entry
from stack.hardware_profiles.profile import Profile
from stack.hardware_profiles.profile.models import SCALE
from stack.hardware_profiles.profile.roofline import best_bandwidth
from stack.serving.errors import ServingError

SOURCE = "roofline (Williams 2009) over weights and KV cache moved a step (Pope 2023), 2 operations per active weight and token (Kaplan 2020)"
CATALOG_TYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "fp8": "fp8"}
TERA, GIGA = 1e12, 1e9


@dataclass(frozen=True)
class Rates:
    """What one device moves and computes in a second, of one class, and where both come from."""

    bandwidth_bytes_per_s: float
    bandwidth_from: str
    operations_per_s: float
    operations_from: str
    kind: Literal["measured", "published", "unverified"]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Load:
    """What one step moves and computes.

    `weights_bytes` and `kv_bytes_per_token` are of one device at its fullest stage; of the weights `expert_bytes` are routed experts, of
    which one sequence needs the share `expert_share`. Of the keys and values `windowed_share` reach back `window_tokens` only.
    `active_parameters` are of the whole model. `wide` devices share each layer, in `copies` of its attention part, in `stages` that
    follow each other.
    """

    weights_bytes: int
    active_parameters: int
    kv_bytes_per_token: int
    windowed_share: float = 0.0
    window_tokens: int = 0
    expert_bytes: int = 0
    expert_share: float = 1.0
    wide: int = 1
    copies: int = 1
    stages: int = 1

    def bytes_moved(self, batch: float, context_tokens: float) -> float:
        """Of one device in one step. `batch` sequences together need 1 - (1 - share)^batch of all experts, were they chosen at random."""
        needed = 1.0 if self.expert_share >= 1.0 else 1.0 - (1.0 - self.expert_share) ** batch
        reach = (1.0 - self.windowed_share) * context_tokens + self.windowed_share * min(context_tokens, self.window_tokens)
        return self.weights_bytes - self.expert_bytes * (1.0 - needed) + batch / self.copies * reach * self.kv_bytes_per_token

    def step_s(self, rates: Rates, batch: float, context_tokens: float, *, tokens: float | None = None) -> tuple[float, float]:
        """Seconds that memory and compute need for a step of `batch` sequences, through all stages; `tokens` when it also reads prompts.

        With stages the batch is cut in as many parts that follow each other, so each stage reads its weights once a part.
        """
        part = max(1.0, batch / self.stages)
        of_memory = self.stages * self.bytes_moved(part, context_tokens) / rates.bandwidth_bytes_per_s
        of_compute = 2.0 * self.active_parameters * (batch if tokens is None else tokens) / (rates.operations_per_s * self.wide)
        return of_memory, of_compute

    def prefill_tokens_per_s(self, rates: Rates) -> float:
        """All stages at work on one part each."""
        return rates.operations_per_s * self.wide * self.stages / (2.0 * self.active_parameters)


def measured_rates(profile: Profile, dtype: str) -> Rates:
    """ServingError when the profile has no usable memory bandwidth, or no product in `dtype`."""
    memory, product = best_bandwidth(profile), profile.find(f"gemm.{dtype}")
    if memory is None or memory.median is None:
        raise ServingError("the profile has no memory bandwidth: take it with --only gemm,memory")
    if product is None or product.median is None:
        raise ServingError(f"the profile has no product in {dtype}: take it with --only gemm,memory on the device that is to serve")
    return Rates(
        bandwidth_bytes_per_s=memory.median * SCALE[memory.unit],
        bandwidth_from=memory.name,
        operations_per_s=product.median * SCALE[product.unit],
        operations_from=product.name,
        kind="measured",
        doubts=tuple(f"{each.name} is {each.status}: {each.reason}" for each in (memory, product) if each.status != "ok"),
    )


def published_rates(entry: Entry, dtype: str) -> Rates | None:
    """One device of a catalog entry; None when a figure is unknown."""
    name = CATALOG_TYPES.get(dtype, dtype)
    peak, figure = entry.peak_per_device(name), entry.peak(name)
    if peak is None or figure is None or entry.bandwidth_per_device is None:
        return None
    statuses = {figure.status, entry.memory_bandwidth.status}
    return Rates(
        bandwidth_bytes_per_s=float(entry.bandwidth_per_device) * GIGA,
        bandwidth_from=f"{entry.title}: {entry.memory_bandwidth.status} memory bandwidth",
        operations_per_s=float(peak) * TERA,
        operations_from=f"{entry.title}: {figure.status} dense {name} peak",
        kind="published" if statuses == {"published"} else "unverified",
    )
