"""The batch that a service level leaves, by the roofline (pure).

The roofline is a ceiling of the hardware: what it refuses cannot be had, what it allows has to be measured. It has no spread, so
percentiles are read alike.
"""

import math
from dataclasses import dataclass

from stack.runtime.durations import parse_duration_s
from stack.runtime.errors import StackproofError
from stack.serving.errors import ServingError
from stack.serving.plan.models import Reason
from stack.serving.plan.roofline import Load, Rates

PROMPT_TOKENS = 1024
"""Length of prompt that a time to first token is planned for; shorter contexts are taken whole."""
LEAST_CHUNK = 16
METRICS, PERCENTILES = ("ttft", "tpot"), ("p90", "p95", "p99")


@dataclass(frozen=True)
class ServiceLevel:
    """Seconds to the first token, and for each token after it; None where nothing is asked."""

    ttft_s: float | None
    tpot_s: float | None
    text: str


class UnreachableError(ServingError):
    """A service level that this spread cannot meet; the message is the arithmetic."""


@dataclass(frozen=True)
class Batch:
    """What each copy of an engine's attention part takes on at once."""

    sequences: int
    tokens: int


def parse_service_level(text: str) -> ServiceLevel:
    """From `ttft_p99=500ms,tpot_p99=50ms`; ServingError names the faulty part."""
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        metric, _, percentile = name.partition("_")
        if metric not in METRICS or percentile not in PERCENTILES or metric in limits:
            raise ServingError(f"field `--slo`: give ttft and tpot once each, with _p90, _p95 or _p99, as in ttft_p99=500ms; got {part.strip()!r}")
        try:
            limits[metric] = parse_duration_s(value, field=f"--slo {name}")
        except StackproofError as error:
            raise ServingError(str(error)) from None
    return ServiceLevel(limits.get("ttft"), limits.get("tpot"), text)


def limit_batch(level: ServiceLevel, load: Load, rates: Rates, asked: Batch, *, length: int, kv_tokens: int) -> tuple[Batch, list[Reason]]:
    """The largest batch, at most `asked`, that meets the level; UnreachableError with the arithmetic when none does.

    `kv_tokens` is what one device's cache holds: full, it is read in every step.
    """
    batch, reasons = asked, []
    if level.tpot_s is not None:
        batch = _for_tpot(level.tpot_s, load, rates, batch, length=length, kv_tokens=kv_tokens)
        step = _step(load, rates, batch, length=length, kv_tokens=kv_tokens)
        why = f"a step of {batch.tokens} tokens, {batch.sequences} sequences and a full cache takes at best {_ms(step)} of {_ms(level.tpot_s)}"
        reasons.append(Reason(choice="slo.tpot", value=f"{batch.sequences} sequences", why=why))
    if level.ttft_s is not None:
        prompt = min(PROMPT_TOKENS, length)
        batch, prompts = _for_ttft(level.ttft_s, load, rates, batch, length=length, kv_tokens=kv_tokens)
        why = f"so many prompts of {prompt} tokens that come at once have their first token within {_ms(level.ttft_s)}, at best; let no more in at a time"
        reasons.append(Reason(choice="slo.ttft", value=f"{prompts} prompts", why=why))
    return batch, reasons


def _for_ttft(limit_s: float, load: Load, rates: Rates, asked: Batch, *, length: int, kv_tokens: int) -> tuple[Batch, int]:
    """Most sequences first, then the longest chunk with which a prompt meets the limit; and how many prompts at once then do.

    A prompt waits for one step and takes prompt / tokens more. More prompts than those do not call for a smaller batch, which would
    only make them wait in the queue instead.
    """
    prompt, best_s = min(PROMPT_TOKENS, length), math.inf
    for sequences in _halved(asked.sequences, 1):
        for tokens in _halved(asked.tokens, max(LEAST_CHUNK, sequences)):
            step = _step(load, rates, Batch(sequences, tokens), length=length, kv_tokens=kv_tokens)
            best_s = min(best_s, step * (1 + prompt / tokens))
            prompts = math.floor((limit_s / step - 1.0) * tokens * load.copies / prompt)
            if prompts >= load.copies:
                return Batch(sequences, tokens), prompts
    rate = load.prefill_tokens_per_s(rates) / load.stages / load.copies
    raise UnreachableError(
        f"ttft {_ms(limit_s)}: a prompt of {prompt} tokens waits for one step and is then read at no more than {rate:,.0f} tokens/s: at best {_ms(best_s)}"
    )


def _halved(most: int, least: int) -> list[int]:
    found = [most]
    while found[-1] // 2 >= least:
        found.append(found[-1] // 2)
    return found


def _for_tpot(limit_s: float, load: Load, rates: Rates, asked: Batch, *, length: int, kv_tokens: int) -> Batch:
    """Most sequences first, then the longest chunk of prompt that may share a step with them, a power of two."""
    low, high = 0, asked.sequences
    while low < high:
        middle = (low + high + 1) // 2
        alone = Batch(middle, middle)
        low, high = (middle, high) if _step(load, rates, alone, length=length, kv_tokens=kv_tokens) <= limit_s else (low, middle - 1)
    if low == 0:
        one = _step(load, rates, Batch(1, 1), length=length, kv_tokens=kv_tokens)
        moved = load.stages * load.bytes_moved(1, min(length, kv_tokens))
        raise UnreachableError(
            f"tpot {_ms(limit_s)}: one sequence of {length} tokens moves {moved / 1e9:.2f} GB a step at {rates.bandwidth_bytes_per_s / 1e9:.0f} GB/s: "
            f"at best {_ms(one)}"
        )
    tokens = asked.tokens
    while tokens > LEAST_CHUNK and _step(load, rates, Batch(low, tokens), length=length, kv_tokens=kv_tokens) > limit_s:
        tokens //= 2
    return Batch(min(low, tokens), tokens)


def _step(load: Load, rates: Rates, batch: Batch, *, length: int, kv_tokens: int) -> float:
    """Seconds of a step whose sequences are as long as they may be, until the cache is full."""
    context = min(length, kv_tokens / batch.sequences)
    return max(load.step_s(rates, batch.sequences * load.copies, context, tokens=batch.tokens * load.copies))


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"
