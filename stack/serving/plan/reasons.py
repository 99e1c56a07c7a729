"""Why each choice was made, in a sentence (pure)."""

from stack.serving.models import CatalogModel
from stack.serving.plan import accelerator
from stack.serving.plan.choose import FULL_SEQUENCES, Chosen
from stack.serving.plan.hardware import Hardware
from stack.serving.plan.memory import Job, own_quantization
from stack.serving.plan.models import GIB, Reason
from stack.serving.plan.parallel import why_parallel
from stack.serving.plan.service_level import ServiceLevel

DRAFT_TOKENS = 3
"""Tokens a draft guesses at a time."""
ENDLESS_PARSERS = frozenset({"granite"})
"""Reasoning parsers of vLLM 0.32 without an `is_reasoning_end`: the engine waits for that end before it holds an answer to its grammar."""


def why_quantization(model: CatalogModel, asked: str | None) -> Reason:
    own = own_quantization(model)
    if asked is not None:
        return Reason(choice="quantization", value=asked, why="asked for: weights are cast as they are loaded, so answers differ: measure their quality")
    if own is not None:
        return Reason(choice="quantization", value=own, why="as the weights are published; the engine reads it from them")
    return Reason(choice="quantization", value="none", why="it would change answers, so it is never chosen unasked")


def why_spread(chosen: Chosen, hardware: Hardware, model: CatalogModel, level: ServiceLevel | None) -> list[Reason]:
    """Nothing on a processor, whose workers follow its memory nodes."""
    if hardware.device == "cpu":
        return []
    spread = chosen.spread
    value = f"{spread.tensor} x {spread.pipeline} x {spread.data}" + (", experts whole" if spread.expert else "")
    why = why_parallel(spread, hardware, model, roomy=chosen.roomy, goal=FULL_SEQUENCES)
    return [Reason(choice="tensor x pipeline x data", value=value, why=why + ("; meets the service level" if level is not None else ""))]


def why_cache(chosen: Chosen, job: Job) -> Reason:
    memory = chosen.memory
    kind = "the compute type" if job.kv_cache_dtype == "auto" else "fp8, asked for: answers differ"
    tail = "" if job.device == "cpu" else "; what the rest leaves, the engine profiles the exact size"
    where = "" if chosen.spread.devices == 1 else " on each device"
    why = f"{memory.kv_tokens} tokens at {memory.kv_bytes_per_token} bytes{where} ({kind}): {chosen.full_sequences:.1f} sequences of full length{tail}"
    return Reason(choice="kv_cache", value=f"{memory.kv_cache_bytes / GIB:.2f} GiB", why=why)


def why_batch(chosen: Chosen, job: Job, *, why_sequences: str, why_tokens: str, level: ServiceLevel | None) -> list[Reason]:
    """Requests and tokens of a step; `job` holds what was wanted."""
    batch, queue = chosen.batch, "more wait in the engine's queue"
    if batch.sequences == job.sequences:
        sequences = f"{why_sequences}; {queue}"
    elif level is not None:
        sequences = f"as many as the service level and the KV cache leave of {job.sequences}; {queue}"
    else:
        sequences = f"requests of {accelerator.TOKENS_A_REQUEST} tokens that the KV cache holds, of {job.sequences} that would use the device best"
    tokens = why_tokens if batch.tokens == job.batched_tokens else f"as many as the service level leaves of {job.batched_tokens}"
    return [
        Reason(choice="max_num_seqs", value=str(batch.sequences), why=sequences),
        Reason(choice="max_num_batched_tokens", value=str(batch.tokens), why=tokens),
    ]


def why_scheduling(draft: CatalogModel | None) -> list[Reason]:
    cached = "blocks of equal beginnings are computed and kept once"
    chunked = "a long prompt shares steps with the answers of others instead of stopping them"
    return [
        Reason(choice="prefix_caching", value="true", why=cached),
        Reason(choice="chunked_prefill", value="true", why=chunked),
        _why_draft(draft),
    ]


def _why_draft(draft: CatalogModel | None) -> Reason:
    if draft is None:
        why = "off: no draft was named, and whether one helps depends on how well it guesses this model's text"
        return Reason(choice="speculative", value="none", why=why)
    why = f"asked for: guesses {DRAFT_TOKENS} tokens a step; its weights and cache are counted on every device; measure what it brings"
    return Reason(choice="speculative", value=draft.name, why=why)


def tool_parser(model: CatalogModel) -> str | None:
    return model.chat.tool_parser if model.chat is not None else None


def why_tools(model: CatalogModel) -> Reason:
    parser = tool_parser(model)
    why = "reads the calls of tools in the form this model writes them" if parser else "the catalog names no form in which this model calls tools"
    return Reason(choice="tool_parser", value=parser or "none", why=why)


def reasoning_parser(model: CatalogModel) -> str | None:
    named = model.chat.reasoning_parser if model.chat is not None else None
    return None if named in ENDLESS_PARSERS else named


def why_reasoning(model: CatalogModel) -> Reason:
    parser = reasoning_parser(model)
    if parser is None and model.chat is not None and model.chat.reasoning_parser is not None:
        why = f"the engine's parser {model.chat.reasoning_parser} cannot tell where reasoning ends, so answers would no longer be held to JSON schemas"
        return Reason(choice="reasoning_parser", value="none", why=why)
    why = "parts what this model thinks from what it answers" if parser else "the catalog names no form in which this model thinks before it answers"
    return Reason(choice="reasoning_parser", value=parser or "none", why=why)
