"""A catalog entry for people and programs: facts with their grounds, and the memory they amount to (pure)."""

from typing import Any

from stack.serving.architecture import WEIGHT_BITS, weight_bytes
from stack.serving.models import CatalogModel, DType

GIB = 1 << 30
PUBLISHED = "as published"


def weights_by_type(model: CatalogModel) -> dict[str, int]:
    """Bytes of all weights in each type, and of the weights as they are published. Computed: parameters x bits / 8."""
    return {PUBLISHED: model.weights_bytes} | {name: weight_bytes(model.parameters.total, name) for name in WEIGHT_BITS}


def describe_model(model: CatalogModel) -> dict[str, Any]:
    """The entry with its computed memory, for `models show --json`."""
    shape = model.architecture
    return {
        **model.model_dump(mode="json"),
        "computed": {
            "weights_bytes": weights_by_type(model),
            "kv_bytes_per_token": {dtype.value: shape.kv_bytes_per_token(dtype) for dtype in DType},
            "kv_bytes_of_full_context": {dtype.value: shape.kv_bytes_per_sequence(shape.context_tokens, dtype) for dtype in DType},
        },
    }


def facts_table(model: CatalogModel) -> list[tuple[str, str | None, str, str]]:
    """Rows of fact, value, status and source; None is shown as unknown."""
    weights, chat = model.weights, model.chat
    facts: list[tuple[str, str, str | None]] = [
        ("publisher", "publisher", f"{model.publisher.name} ({model.publisher.country or 'country unknown'})"),
        ("licence", "licence", model.licence.spdx or "own terms"),
        ("limits on use", "licence", model.licence.notes or None),
        ("languages", "languages", " ".join(model.languages) or None),
        ("parameters", "parameters", model.parameters.in_words),
        ("architecture", "architecture", _shape(model)),
        ("context", "context", f"{model.architecture.context_tokens:,} tokens"),
        ("weights", "weights", _weights(model)),
        ("gated", "weights", None if weights is None or weights.gated is None else "yes" if weights.gated else "no"),
        ("chat template", "chat", chat.template if chat else None),
        ("tool parser", "chat", (chat.tool_parser or "none") if chat else None),
        ("reasoning parser", "chat", (chat.reasoning_parser or "none") if chat else None),
    ]
    grounds = {group: (ground.status, ground.source) for group, ground in model.grounds.items()}
    return [(fact, value, *grounds.get(group, ("unverified", "no source stated"))) for fact, group, value in facts]


def memory_table(model: CatalogModel) -> list[tuple[str, str, str]]:
    """Rows of type, weights and KV cache of one sequence of full length; the cache has a type of its own, shown where it is the same."""
    shape, dtypes = model.architecture, {dtype.value: dtype for dtype in DType}
    rows = []
    for name, size in weights_by_type(model).items():
        cache = shape.kv_bytes_per_sequence(shape.context_tokens, dtypes[name]) if name in dtypes else None
        rows.append((name, f"{size / GIB:.2f} GiB", "" if cache is None else f"{cache / GIB:.2f} GiB"))
    return rows


def _shape(model: CatalogModel) -> str:
    shape = model.architecture
    parts = [f"{shape.family}: {shape.layers} layers of {shape.hidden_size}, {shape.attention_heads} heads, {shape.kv_heads} KV heads of {shape.head_dim}"]
    if shape.attention_layers is not None:
        parts.append(f"{shape.attention_layers} of the layers cache keys and values")
    if window := shape.sliding_window:
        parts.append(f"{window.layers} layers look back {window.tokens} tokens")
    if latent := shape.latent_attention:
        parts.append(f"latent attention of {latent.kv_rank} + {latent.rope_dim}")
    if experts := shape.experts:
        parts.append(f"{experts.active} of {experts.total} experts" + (f" and {experts.shared} shared" if experts.shared else ""))
    return "; ".join(parts)


def _weights(model: CatalogModel) -> str | None:
    weights = model.weights
    if weights is None or weights.repository is None:
        return None
    form = f"{weights.dtype.value}" + (f", {weights.quantization}" if weights.quantization else "")
    return f"{weights.repository} at {weights.revision or 'a commit that is not known'} ({form})"
