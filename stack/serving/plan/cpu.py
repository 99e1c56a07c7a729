"""What is chosen on a processor (pure)."""

import math
from dataclasses import dataclass

from stack.hardware_profiles import Cpu
from stack.serving.models import CatalogModel, DType
from stack.serving.plan.models import Parallel, Reason
from stack.serving.plan.parallel import cuts_heads

CPU_FULL_SEQUENCES = 4
"""KV target on a CPU: this many sequences of full length at a time; more, when they are shorter."""
CPU_SEQUENCES_PER_CORE = 16
MAX_SEQUENCES = 256
CPU_BATCHED_TOKENS = 2048
"""vLLM 0.32's own default for its API server on a CPU."""
PIN_CORES = 8
"""Threads are bound to cores from this many on. On a small machine shared with other work a bound thread starves: an
engine bound to the core of another, busy one was not ready after 170 s where it takes 27 s alone."""
NATIVE_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Processor flags, as the kernel spells them, of instructions that multiply bfloat16."""

IN_PROCESS = "an engine that waits for a worker on the same machine keeps a core busy with asking, which computes here instead"
WORKERS = "threads are bound to cores in workers alone"
COMPILED = "compiled, it answers a fifth faster (measured on 2 cores); the first start takes minutes for it, later ones find what was compiled"


@dataclass(frozen=True)
class Cores:
    """Computing threads of one engine, and whether they are bound. Bound, each memory node has a worker of its own."""

    threads: int
    reserved: int
    pinned: bool
    spread: Parallel

    @property
    def in_process(self) -> bool:
        """Threads can be bound only in workers."""
        return not self.pinned

    @property
    def total(self) -> int:
        return self.threads + self.reserved


def choose_cores(cpu: Cpu, model: CatalogModel, *, shared: bool = False) -> Cores:
    """vLLM binds worker N to memory node N and leaves the other nodes idle, so a bound engine needs as many workers as there are nodes.

    Engines that share a processor (`shared`) are not bound: all would be bound to the same cores.
    """
    cores = max(1, min(math.floor(cpu.usable_cores or 1), cpu.physical_cores or MAX_SEQUENCES))
    nodes = cpu.numa_nodes or 1
    pinned = cores >= PIN_CORES and not shared and cuts_heads(model.architecture, nodes)
    reserved = 1 if cores >= PIN_CORES else 0
    return Cores(cores - reserved, reserved, pinned, Parallel(tensor=nodes if pinned else 1))


def choose_dtype(isa: tuple[str, ...], own: DType) -> tuple[DType, str]:
    """The weights' own type where the processor computes it, else float32: the same values at twice the memory."""
    native = [flag for flag in isa if flag in NATIVE_BFLOAT16]
    if own is DType.FLOAT32 or (own is DType.BFLOAT16 and native):
        return own, "the weights' own type" + (f"; {', '.join(native)} computes it natively" if native else "")
    why = f"no {own.value} instructions found: emulated they run 2 to 9 times slower than float32 (measured on AVX2), which holds the same values"
    return DType.FLOAT32, why


def core_reasons(cores: Cores, cpu: Cpu, *, shared_by: int = 1) -> list[Reason]:
    nodes = cpu.numa_nodes or 1
    if cores.pinned:
        why = f"{PIN_CORES} cores or more: bound to cores and memory nodes" + (f", one worker on each of {nodes} nodes" if nodes > 1 else "")
    elif shared_by > 1:
        why = f"{shared_by} engines share the processor"
    elif cores.total >= PIN_CORES:
        why = f"the heads cannot be cut over {nodes} memory nodes, and one bound worker would leave the others idle"
    else:
        why = f"fewer than {PIN_CORES} cores, shared with other work"
    return [
        Reason(choice="cpu_threads", value=str(cores.threads), why=f"one per physical core, {cores.reserved} kept for API server, gateway and clients"),
        Reason(choice="cpu_pinned", value=str(cores.pinned).lower(), why=why),
        Reason(choice="in_process", value=str(cores.in_process).lower(), why=IN_PROCESS if cores.in_process else WORKERS),
    ]


def sequences(cores: Cores) -> tuple[int, str]:
    """Requests decoded at a time, and why."""
    return min(MAX_SEQUENCES, CPU_SEQUENCES_PER_CORE * cores.total), f"{CPU_SEQUENCES_PER_CORE} per core on {cores.total} cores"
