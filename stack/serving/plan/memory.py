"""What one device of an engine holds: weights, KV cache, activations, runtime (pure).

Sizes are those of the fullest device. Weights follow the engine's own split: matrices are cut over the tensor-parallel devices, norms lie
whole on each, vocabulary tables are padded to 64 rows and cut by rows, keys and values are cut by heads and repeated once there are more
devices than KV heads, pipeline stages hold consecutive layers, whole experts are spread over all devices with expert parallelism.
"""

import math
from dataclasses import dataclass

from stack.serving.architecture import WEIGHT_BITS, Architecture
from stack.serving.errors import ServingError
from stack.serving.models import CatalogModel, DType
from stack.serving.plan.models import BLOCK_TOKENS, GIB, Device, EnginePlan, KvDType, MemoryArithmetic, Parallel

__all__ = ["BLOCK_TOKENS", "GIB", "Job", "arithmetic", "expert_parameters", "max_context", "plan_memory", "stage_layers", "weights_of_device"]

VOCABULARY_PADDING = 64
RUNTIME_BYTES: dict[Device, int] = {"cpu": 5 * GIB // 2, "cuda": 3 * GIB, "rocm": 3 * GIB, "hpu": 3 * GIB}
"""What the engine takes beside weights, KV cache and activations. cpu: 1.5 to 2.0 GiB of PSS measured over API server, engine core and
worker of vLLM 0.32 (SmolLM2-135M, idle and with 16 streams), rounded up. The rest: an allowance for the driver's context, captured
graphs and buffers of collectives, not measured."""
RESIDUALS = 4
"""Tensors of the hidden size alive at the widest point of a layer: residual, its norm, the block's output, the one being added."""


@dataclass(frozen=True)
class Job:
    """What a plan's memory depends on, beside how it is spread."""

    model: CatalogModel
    device: Device
    dtype: DType
    quantization: str | None
    kv_cache_dtype: KvDType
    length: int
    available_bytes: int
    sequences: int
    batched_tokens: int
    draft: CatalogModel | None = None


def arithmetic(job: Job, spread: Parallel, *, kv_tokens: int | None) -> MemoryArithmetic:
    """KV cache for `kv_tokens` tokens, or all that is left when None; never less than one sequence of full length.

    `left_bytes` is negative where that does not fit.
    """
    weights = weights_of_device(job.model, job.dtype, job.quantization, spread)
    per_token, full = _kv_of_token(job, spread), _kv_of_sequence(job, spread, job.length)
    activations = activation_bytes(job.model, job.dtype, spread.tensor, sequences=job.sequences, tokens=job.batched_tokens)
    if job.draft is not None:
        # The engine cuts the draft as it cuts the model; its keys and values share the cache.
        weights += weights_of_device(job.draft, job.dtype, None, Parallel(tensor=spread.tensor))
    runtime = RUNTIME_BYTES[job.device]
    block = per_token * BLOCK_TOKENS
    least = math.ceil(full / block) * block
    room = (job.available_bytes - weights - activations - runtime) // block * block
    wanted = room if kv_tokens is None else min(room, math.ceil(kv_tokens / BLOCK_TOKENS) * block)
    return MemoryArithmetic(
        available_bytes=job.available_bytes,
        weights_bytes=weights,
        kv_bytes_per_token=per_token,
        kv_bytes_per_full_sequence=full,
        kv_cache_bytes=max(wanted, least),
        activation_bytes=activations,
        runtime_bytes=runtime,
    )


def weights_of_device(model: CatalogModel, dtype: DType, quantization: str | None, spread: Parallel) -> int:
    """Bytes. Quantized are all matrices (mxfp4: those of the experts), never vocabulary tables and norms."""
    shape, tensor = model.architecture, spread.tensor
    tables = 2 if shape.tied_embeddings is False else 1
    experts, norms = expert_parameters(model), shape.layers * 2 * shape.hidden_size
    heads = 0 if shape.latent_attention else shape.caching_layers * 2 * shape.hidden_size * shape.kv_heads * shape.head_dim
    rest = model.parameters.total - tables * shape.vocabulary * shape.hidden_size - experts - norms - heads
    kept = math.ceil(heads * kv_heads_of_device(shape, tensor) / shape.kv_heads) + math.ceil(rest / tensor)
    whole = spread.devices // spread.pipeline if spread.expert else tensor
    expert_bits, bits = WEIGHT_BITS.get(quantization or "", 8.0 * dtype.size_bytes), 8.0 * dtype.size_bytes
    rest_bits = bits if quantization == "mxfp4" else expert_bits
    body = (kept * rest_bits + math.ceil(experts / whole) * expert_bits) / 8 + norms * dtype.size_bytes
    table = padded_vocabulary(shape) // tensor * shape.hidden_size * dtype.size_bytes
    stages = stage_layers(shape.layers, spread.pipeline)
    if len(stages) == 1:
        return math.ceil(body) + tables * table
    ends = {0, len(stages) - 1}
    return max(math.ceil(body * layers / shape.layers) + (table if stage in ends else 0) for stage, layers in enumerate(stages))


def expert_parameters(model: CatalogModel) -> int:
    """Weights of all routed experts. By counts a token leaves (E - k) of E experts out, so they are (total - active) x E / (E - k); by
    shape every layer has them. The smaller is taken: some first layers are dense, and some publishers count active weights without a table.
    """
    experts = model.architecture.experts
    if experts is None or experts.total == experts.active:
        return model.architecture.expert_parameters
    counted = (model.parameters.total - model.parameters.active) * experts.total // (experts.total - experts.active)
    return min(counted, model.architecture.expert_parameters or counted)


def kv_heads_of_device(shape: Architecture, tensor: int) -> int:
    """KV heads one tensor-parallel device keeps: its share, at least one."""
    return max(1, shape.kv_heads // tensor)


def padded_vocabulary(shape: Architecture) -> int:
    return math.ceil(shape.vocabulary / VOCABULARY_PADDING) * VOCABULARY_PADDING


def stage_layers(layers: int, pipeline: int) -> tuple[int, ...]:
    """Layers of each stage as vLLM cuts them: alike, what remains goes to the stages before the last."""
    share, over = divmod(layers, pipeline)
    return tuple(share + (1 if pipeline - 1 - over <= stage < pipeline - 1 else 0) for stage in range(pipeline))


def activation_bytes(model: CatalogModel, dtype: DType, tensor: int, *, sequences: int, tokens: int) -> int:
    """An estimate; the engine measures the real peak when it starts.

    tokens x bytes x (4 hidden + (query, key and value heads) x head size / t + 3 x feed-forward width / t), and for every sequence two rows
    of logits in float32, gathered from all devices.
    """
    shape = model.architecture
    heads = shape.attention_heads // tensor + 2 * kv_heads_of_device(shape, tensor)
    width = RESIDUALS * shape.hidden_size + heads * shape.head_dim + 3 * math.ceil(_feed_forward_width(model) / tensor)
    return tokens * width * dtype.size_bytes + 2 * sequences * padded_vocabulary(shape) * 4


def _feed_forward_width(model: CatalogModel) -> int:
    """Widest part that a token goes through; where it is not known, what the weights of a layer leave for three matrices."""
    shape = model.architecture
    experts = shape.experts
    routed = (experts.active + experts.shared) * experts.intermediate_size if experts and experts.intermediate_size else 0
    if known := max(routed, shape.intermediate_size or 0):
        return known
    attention = shape.hidden_size * shape.head_dim * (2 * shape.attention_heads + 2 * shape.kv_heads)
    tables = 2 if shape.tied_embeddings is False else 1
    layer = (model.parameters.active - tables * shape.vocabulary * shape.hidden_size) / shape.layers
    return max(0, math.ceil((layer - attention) / (3 * shape.hidden_size)))


def _kv_of_token(job: Job, spread: Parallel) -> int:
    """Bytes one token takes on a device while every layer reaches back to it."""
    return sum(layers * elements for layers, elements in _cached(job, spread)) * _kv_size(job)


def _kv_of_sequence(job: Job, spread: Parallel, length: int) -> int:
    """Bytes of one sequence of `length` tokens: a windowed layer holds its window and the tokens of the step that is computed."""
    size, (layers, elements), *draft = _kv_size(job), *_cached(job, spread)
    shape = job.model.architecture
    share = max(stage_layers(shape.layers, spread.pipeline)) / shape.layers
    windowed, window = (math.floor(shape.sliding_window.layers * share), shape.sliding_window.tokens) if shape.sliding_window else (0, 0)
    held = (layers - windowed) * length + windowed * min(length, window + job.batched_tokens)
    state = math.ceil((shape.state_bytes_per_sequence or 0) * share / spread.tensor)
    return (held * elements + sum(length * more * each for more, each in draft)) * size + state


def _cached(job: Job, spread: Parallel) -> list[tuple[int, int]]:
    """(layers, elements of a token in each) on the fullest device, of the model and of its draft."""
    shape = job.model.architecture
    layers = math.ceil(shape.caching_layers * max(stage_layers(shape.layers, spread.pipeline)) / shape.layers)
    found = [(layers, _elements(shape, spread.tensor))]
    if job.draft is not None:
        found.append((job.draft.architecture.caching_layers, _elements(job.draft.architecture, spread.tensor)))
    return found


def _elements(shape: Architecture, tensor: int) -> int:
    return 2 * kv_heads_of_device(shape, tensor) * shape.head_dim if shape.latent_attention is None else shape.kv_elements_per_layer


def _kv_size(job: Job) -> int:
    return 1 if job.kv_cache_dtype == "fp8" else job.dtype.size_bytes


def max_context(job: Job, spread: Parallel) -> int:
    """The longest context of which one sequence fits, in whole blocks; 0 when the weights alone do not."""
    memory = arithmetic(job, spread, kv_tokens=None)
    room = job.available_bytes - memory.weights_bytes - memory.activation_bytes - memory.runtime_bytes
    low, high, block = 0, job.length // BLOCK_TOKENS, memory.kv_bytes_per_token * BLOCK_TOKENS
    while low < high:
        middle = (low + high + 1) // 2
        if math.ceil(_kv_of_sequence(job, spread, middle * BLOCK_TOKENS) / block) * block <= room:
            low = middle
        else:
            high = middle - 1
    return low * BLOCK_TOKENS


def plan_memory(plan: EnginePlan, model: CatalogModel, *, draft: CatalogModel | None = None) -> MemoryArithmetic:
    """The arithmetic of a stored plan once more, from parameters and architecture; its KV cache and available memory are taken from it.

    ServingError when the plan is of another model or draft.
    """
    if (plan.model, plan.draft) != (model.name, draft.name if draft is not None else None):
        raise ServingError(f"the plan is of {plan.model} with the draft {plan.draft}, not of {model.name}")
    job = Job(
        model=model,
        device=plan.device,
        dtype=plan.dtype,
        quantization=plan.quantization or own_quantization(model),
        kv_cache_dtype=plan.kv_cache_dtype,
        length=plan.max_model_len,
        available_bytes=plan.memory.available_bytes,
        sequences=plan.max_num_seqs,
        batched_tokens=plan.max_num_batched_tokens,
        draft=draft,
    )
    return arithmetic(job, plan.parallel, kv_tokens=None).model_copy(update={"kv_cache_bytes": plan.memory.kv_cache_bytes})


def own_quantization(model: CatalogModel) -> str | None:
    """How the weights are published, where they are quantized."""
    return model.weights.quantization if model.weights and model.conversion.kind == "none" else None
