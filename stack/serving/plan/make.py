"""From hardware, model and service level to the plan (pure)."""

from dataclasses import dataclass, replace

from stack.hardware_profiles import Inventory
from stack.hardware_profiles.profile import Profile
from stack.serving.errors import ServingError
from stack.serving.models import CatalogModel
from stack.serving.plan import accelerator, cpu
from stack.serving.plan.choose import Chosen, choose
from stack.serving.plan.hardware import Hardware, inventory_hardware
from stack.serving.plan.load import device_rates
from stack.serving.plan.memory import Job, max_context, own_quantization
from stack.serving.plan.models import EnginePlan, KvDType, Parallel, Reason
from stack.serving.plan.parallel import spreads
from stack.serving.plan.reasons import (
    DRAFT_TOKENS,
    reasoning_parser,
    tool_parser,
    why_batch,
    why_cache,
    why_quantization,
    why_reasoning,
    why_scheduling,
    why_spread,
    why_tools,
)
from stack.serving.plan.refusal import refusal
from stack.serving.plan.roofline import Rates
from stack.serving.plan.service_level import ServiceLevel

MAX_N = 4
EAGER_ASKED = "asked for: sooner ready the first time, slower ever after"
LEAST_CONTEXT = 2048
"""A context that nobody asked to shorten is shortened to fit, but not below this."""


@dataclass(frozen=True)
class Basis:
    """What is wanted before it is known to fit, and why."""

    job: Job
    options: list[Parallel]
    rates: Rates | None
    cores: cpu.Cores | None
    why_dtype: str
    why_sequences: str
    why_tokens: str


def make_plan(  # noqa: PLR0913 (each is an option of `stackproof plan`)
    source: Inventory | Hardware,
    model: CatalogModel,
    *,
    max_model_len: int | None = None,
    quantization: str | None = None,
    kv_cache_dtype: KvDType = "auto",
    draft: CatalogModel | None = None,
    level: ServiceLevel | None = None,
    profile: Profile | None = None,
    eager: str | None = None,
) -> EnginePlan:
    """The plan for this hardware; ServingError with the arithmetic in one line when memory is short or the service level is out of reach.

    Accelerators whose driver answers are taken, else the processor. `max_model_len` shortens the context; without it the context is
    the model's, or the longest that fits. `profile` gives measured rates in place of published ones; `level` needs either. `eager` says why the model is
    not to be compiled; without it, it is.
    """
    hardware = inventory_hardware(source) if isinstance(source, Inventory) else source
    length, why_length = _length(model, max_model_len)
    _check_draft(model, draft)
    accelerator.check_types(hardware, model, quantization, kv_cache_dtype)
    make = _on_cpu if hardware.cpu is not None else _on_accelerator
    basis = make(hardware, model, profile, quantization)
    basis = replace(basis, job=replace(basis.job, length=length, kv_cache_dtype=kv_cache_dtype, draft=draft))
    chosen = choose(basis.job, basis.options, level=level, rates=basis.rates)
    if chosen is None and max_model_len is None:
        fitting = max(max_context(basis.job, spread) for spread in basis.options)
        if fitting >= min(LEAST_CONTEXT, length):
            why_length = f"the longest that fits, of {length} the model was made for"
            basis = replace(basis, job=replace(basis.job, length=fitting))
            chosen = choose(basis.job, basis.options, level=level, rates=basis.rates)
    if chosen is None:
        raise refusal(basis.job, basis.options, hardware)
    reasons = (
        Reason(choice="device", value=hardware.device, why=hardware.why),
        Reason(choice="max_model_len", value=str(basis.job.length), why=why_length),
        Reason(choice="dtype", value=basis.job.dtype.value, why=basis.why_dtype),
        why_quantization(model, quantization),
        *why_spread(chosen, hardware, model, level),
        why_cache(chosen, basis.job),
        *why_batch(chosen, basis.job, why_sequences=basis.why_sequences, why_tokens=basis.why_tokens, level=level),
        *chosen.reasons,
        *why_scheduling(draft),
        why_tools(model),
        why_reasoning(model),
    )
    return _plan(basis, chosen, hardware, quantization=quantization, eager=eager, reasons=reasons)


def _on_cpu(hardware: Hardware, model: CatalogModel, profile: Profile | None, quantization: str | None) -> Basis:
    """One worker for each memory node when threads are bound, each with its share of the memory."""
    assert hardware.cpu is not None
    cores = cpu.choose_cores(hardware.cpu, model, shared=hardware.shared_by > 1)
    dtype, why_dtype = cpu.choose_dtype(hardware.cpu.isa, model.conversion.dtype)
    sequences, why_sequences = cpu.sequences(cores)
    job = Job(
        model=model,
        device="cpu",
        dtype=dtype,
        quantization=quantization,
        kv_cache_dtype="auto",
        length=model.architecture.context_tokens,
        available_bytes=hardware.device_bytes // cores.spread.tensor,
        sequences=sequences,
        batched_tokens=max(cpu.CPU_BATCHED_TOKENS, sequences),
    )
    rates = device_rates(hardware, dtype.value, profile)
    return Basis(job, [cores.spread], rates, cores, why_dtype, why_sequences, "vLLM's own default on a CPU")


def _on_accelerator(hardware: Hardware, model: CatalogModel, profile: Profile | None, quantization: str | None) -> Basis:
    dtype, held = model.conversion.dtype, quantization or own_quantization(model)
    rates = device_rates(hardware, accelerator.computing_type(hardware, dtype, held), profile)
    sequences, why_sequences = accelerator.sequences(rates, 1 if held == "fp8" else dtype.size_bytes)
    tokens, why_tokens = accelerator.step_tokens(hardware)
    job = Job(
        model=model,
        device=hardware.device,
        dtype=dtype,
        quantization=held,
        kv_cache_dtype="auto",
        length=model.architecture.context_tokens,
        available_bytes=int(hardware.device_bytes * accelerator.UTILIZATION),
        sequences=sequences,
        batched_tokens=max(tokens, sequences),
    )
    return Basis(job, spreads(hardware, model), rates, None, "the weights' own type", why_sequences, why_tokens)


def _plan(basis: Basis, chosen: Chosen, hardware: Hardware, *, quantization: str | None, eager: str | None, reasons: tuple[Reason, ...]) -> EnginePlan:
    job, cores = basis.job, basis.cores
    last = (
        cpu.core_reasons(cores, hardware.cpu, shared_by=hardware.shared_by) if cores is not None and hardware.cpu is not None else accelerator.memory_reasons()
    )
    compiled = cpu.COMPILED if cores is not None else accelerator.COMPILED
    why_eager = Reason(choice="enforce_eager", value=str(eager is not None).lower(), why=eager or compiled)
    return EnginePlan(
        model=job.model.name,
        device=job.device,
        device_name=hardware.in_words,
        dtype=job.dtype,
        quantization=quantization,
        parallel=chosen.spread,
        max_model_len=job.length,
        max_num_seqs=chosen.batch.sequences,
        max_num_batched_tokens=chosen.batch.tokens,
        max_n=MAX_N,
        enforce_eager=eager is not None,
        kv_cache_dtype=job.kv_cache_dtype,
        draft=job.draft.name if job.draft is not None else None,
        draft_tokens=DRAFT_TOKENS if job.draft is not None else None,
        tool_parser=tool_parser(job.model),
        reasoning_parser=reasoning_parser(job.model),
        cpu_threads=cores.threads if cores is not None else None,
        cpu_reserved=cores.reserved if cores is not None else None,
        cpu_pinned=cores.pinned if cores is not None else None,
        in_process=cores is not None and cores.in_process,
        gpu_memory_utilization=accelerator.UTILIZATION if cores is None else None,
        memory=chosen.memory,
        reasons=(*reasons, *last, why_eager),
    )


def _length(model: CatalogModel, asked: int | None) -> tuple[int, str]:
    context = model.architecture.context_tokens
    length = context if asked is None else asked
    if not 1 <= length <= context:
        raise ServingError(f"--max-model-len: must be between 1 and {context} (the context of {model.name}), got {length}")
    return length, "the whole context the model was made for" if length == context else "asked for"


def _check_draft(model: CatalogModel, draft: CatalogModel | None) -> None:
    if draft is not None and draft.architecture.vocabulary != model.architecture.vocabulary:
        ours, theirs = model.architecture.vocabulary, draft.architecture.vocabulary
        raise ServingError(f"--draft {draft.name}: its vocabulary has {theirs} tokens, that of {model.name} {ours}: a draft must speak the same tokens")
