"""Which spread of an engine fits, and holds the service level (pure)."""

from dataclasses import dataclass, replace

from stack.serving.errors import ServingError
from stack.serving.plan.accelerator import TOKENS_A_REQUEST
from stack.serving.plan.cpu import CPU_FULL_SEQUENCES
from stack.serving.plan.load import load_of
from stack.serving.plan.memory import Job, arithmetic
from stack.serving.plan.models import MemoryArithmetic, Parallel, Reason
from stack.serving.plan.roofline import Rates
from stack.serving.plan.service_level import Batch, ServiceLevel, UnreachableError, limit_batch

FULL_SEQUENCES = 4
"""Sequences of full length an engine shall hold at a time; it takes more devices than it needs to get there."""


@dataclass(frozen=True)
class Chosen:
    """A spread that fits, and what it holds."""

    spread: Parallel
    memory: MemoryArithmetic
    batch: Batch
    reasons: tuple[Reason, ...] = ()

    @property
    def full_sequences(self) -> float:
        """Sequences of full length that the whole engine's KV cache holds."""
        return self.memory.kv_cache_bytes * self.spread.data / self.memory.kv_bytes_per_full_sequence

    @property
    def roomy(self) -> bool:
        return self.full_sequences >= FULL_SEQUENCES


def choose(job: Job, options: list[Parallel], *, level: ServiceLevel | None, rates: Rates | None) -> Chosen | None:
    """Among the spreads of the fewest stages of which any fits: the first that holds FULL_SEQUENCES, else the last. None when none fits.

    ServingError when some fit and none of those meets the level, with the arithmetic of the last.
    """
    if level is not None and rates is None:
        raise ServingError("--slo: the rates of this hardware are unknown: measure them with `stackproof profile` and give --profile FILE")
    best: Chosen | None = None
    unreachable: UnreachableError | None = None
    for spread in options:
        if best is not None and spread.pipeline > best.spread.pipeline:
            break
        found = _sized(job, spread)
        if found is not None and level is not None and rates is not None:
            try:
                found = _within(level, rates, job, found)
            except UnreachableError as error:
                unreachable, found = error, None
        best = found or best
        if found is not None and found.roomy:
            break
    if best is None and unreachable is not None:
        raise ServingError(f"the service level is out of reach for {job.model.name}: {unreachable}: ask for less, or take faster or more devices")
    return best


def _sized(job: Job, spread: Parallel) -> Chosen | None:
    """None when one sequence of full length does not fit. On an accelerator no more sequences than the cache holds short requests of."""
    memory = arithmetic(job, spread, kv_tokens=_kv_target(job))
    if memory.left_bytes < 0:
        return None
    most = job.sequences if job.device == "cpu" else max(1, memory.kv_tokens // TOKENS_A_REQUEST)
    smaller = replace(job, sequences=min(job.sequences, most))
    return Chosen(spread, arithmetic(smaller, spread, kv_tokens=_kv_target(job)), Batch(smaller.sequences, job.batched_tokens))


def _within(level: ServiceLevel, rates: Rates, job: Job, chosen: Chosen) -> Chosen:
    """The same spread with the batch that the level leaves, and the memory that a smaller batch frees."""
    load = load_of(job.model, chosen.memory, chosen.spread, dtype=job.dtype, quantization=job.quantization)
    batch, reasons = limit_batch(level, load, rates, chosen.batch, length=job.length, kv_tokens=chosen.memory.kv_tokens)
    smaller = replace(job, sequences=batch.sequences, batched_tokens=batch.tokens)
    return Chosen(chosen.spread, arithmetic(smaller, chosen.spread, kv_tokens=_kv_target(job)), batch, tuple(reasons))


def _kv_target(job: Job) -> int | None:
    """Tokens of KV cache wanted; None: all that is left. A processor's memory is shared with the rest of the machine."""
    return job.length * CPU_FULL_SEQUENCES if job.device == "cpu" else None
