"""Why nothing fits, with the arithmetic and the nearest mends (pure)."""

from dataclasses import replace

from stack.serving.errors import ServingError
from stack.serving.plan.accelerator import UTILIZATION, serves_fp8
from stack.serving.plan.hardware import Hardware
from stack.serving.plan.memory import Job, arithmetic, max_context, own_quantization
from stack.serving.plan.models import GIB, Parallel
from stack.serving.plan.parallel import spreads

LARGER = ((1, 1), (2, 1), (4, 1), (8, 1), (8, 2), (8, 4), (8, 8), (8, 16))
"""(devices in a machine, machines) that are tried as a mend, in the order of their cost."""


def refusal(job: Job, options: list[Parallel], hardware: Hardware) -> ServingError:
    """One line: the sum on the spread that comes nearest, and what would fit."""
    nearest = max((arithmetic(job, spread, kv_tokens=job.length) for spread in options), key=lambda memory: memory.left_bytes)
    tried = (_free(hardware, -nearest.left_bytes), _more_devices(job, hardware), _smaller_type(job, options, hardware), _shorter(job, options))
    mends = [mend for mend in tried if mend]
    told = " or ".join(mends) if mends else "no such hardware, type or context fits it: take a smaller model"
    on = "" if hardware.device == "cpu" else f" on each device of {hardware.in_words}"
    return ServingError(f"memory is short for {job.model.name} with {job.length} tokens{on}: {nearest.in_words()}: {told}")


def _free(hardware: Hardware, missing: int) -> str:
    return f"free {missing / GIB:.2f} GiB" if hardware.device == "cpu" else ""


def _more_devices(job: Job, hardware: Hardware) -> str:
    """The smallest larger system of the same devices that holds a sequence of full length."""
    if hardware.device == "cpu":
        return ""
    for per_node, nodes in LARGER:
        larger = replace(hardware, per_node=per_node, nodes=nodes)
        if larger.devices > hardware.devices and any(_fits(job, spread) for spread in spreads(larger, job.model)):
            return f"take {larger.in_words}"
    return ""


def _smaller_type(job: Job, options: list[Parallel], hardware: Hardware) -> str:
    if job.quantization is not None or own_quantization(job.model) is not None or not serves_fp8(hardware):
        return ""
    smaller = replace(job, quantization="fp8", available_bytes=int(hardware.device_bytes * UTILIZATION))
    return "take --quantization fp8" if any(_fits(smaller, spread) for spread in options) else ""


def _shorter(job: Job, options: list[Parallel]) -> str:
    longest = max((max_context(job, spread) for spread in options), default=0)
    return f"shorten the context to --max-model-len {longest}" if longest else ""


def _fits(job: Job, spread: Parallel) -> bool:
    return arithmetic(job, spread, kv_tokens=job.length).left_bytes >= 0
