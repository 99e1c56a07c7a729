"""Memory bandwidth: STREAM's four kernels and a read, with torch's kernels on arrays that no cache holds.

After J. D. McCalpin, "Memory Bandwidth and Machine Balance in Current High Performance Computers", IEEE TCCA Newsletter, December 1995:
arrays of at least four times the last-level cache, touched before they are timed, checked afterwards, and bytes counted as the program
names them. A store to memory usually reads the line first, so a copy really moves 1.5 times and a triad 4/3 times what is counted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from stack.hardware_profiles.profile.models import Group, Result, Status
from stack.hardware_profiles.profile.session import Deadline, Session, Task, Tensor, set_threads
from stack.hardware_profiles.profile.timing import repeat

CACHE_FACTOR = 4
ITEM = 8
"""float64, as in STREAM."""

LEAST_BYTES = 128 << 20
"""Of one array: small caches must not make it so short that the start of the threads counts."""

CUDA_BYTES = 1 << 30
ARRAYS = 3
MOST_SHARE = 0.5
"""Of the memory that can be used."""

FACTOR = 0.4
"""Of scale and triad, BabelStream's: the values stay near their start however often the kernels run."""

START = (0.1, 0.2, 0.0)
LEAST_ROUNDS, MOST_ROUNDS = 10, 100
TOLERANCE = 1e-12
SUM_TOLERANCE = 1e-9
KERNELS = {"copy": 2, "scale": 2, "add": 3, "triad": 3, "read": 1}
"""Arrays that each moves. A read is the sum of one."""


@dataclass
class Arrays:
    """a, b and c, touched by the threads that will use them."""

    a: Tensor
    b: Tensor
    c: Tensor
    total: Tensor

    @classmethod
    def make(cls, elements: int, device: str) -> "Arrays":
        import torch

        a, b, c = (torch.full((elements,), value, dtype=torch.float64, device=device) for value in START)
        return cls(a, b, c, torch.zeros((), dtype=torch.float64, device=device))

    def kernels(self) -> dict[str, Callable[[], object]]:
        """In STREAM's order; each one pass over its arrays."""
        import torch

        a, b, c = self.a, self.b, self.c
        return {
            "copy": lambda: c.copy_(a),
            "scale": lambda: torch.mul(c, FACTOR, out=b),
            "add": lambda: torch.add(a, b, out=c),
            "triad": lambda: torch.add(b, c, alpha=FACTOR, out=a),
            "read": lambda: torch.sum(a, dim=0, out=self.total),
        }

    def fault(self, steps: int) -> str:
        """What is wrong after `steps` kernels in STREAM's order; empty when the arrays hold the golden values."""
        import torch

        *golden, total = golden_values(steps)
        for name, array, value in zip("abc", (self.a, self.b, self.c), golden, strict=True):
            for extreme in torch.aminmax(array):
                if not abs(float(extreme) - value) <= TOLERANCE * abs(value):
                    return f"array {name} is wrong: it holds {float(extreme):.6g} where {value:.6g} belongs"
        expected = total * self.a.numel()
        if not abs(float(self.total) - expected) <= SUM_TOLERANCE * abs(expected):
            return f"the sum is wrong: {float(self.total):.12g}, not {expected:.12g}"
        return ""


def golden_values(steps: int) -> tuple[float, float, float, float]:
    """What every element of a, b and c holds after so many kernels in order, and what the sum was made of."""
    a, b, c, total = (*START, 0.0)
    for step in range(steps):
        match tuple(KERNELS)[step % len(KERNELS)]:
            case "copy":
                c = a
            case "scale":
                b = FACTOR * c
            case "add":
                c = a + b
            case "triad":
                a = b + FACTOR * c
            case "read":
                total = a
    return a, b, c, total


def array_bytes(cache_bytes: int | None, memory_bytes: int | None, *, least: int = LEAST_BYTES) -> tuple[int | None, str]:
    """Size of one array, or None and why a measurement would not be one of memory."""
    if cache_bytes is None:
        return None, "the size of the last-level cache is unknown, so nothing says that the arrays are larger"
    size = max(least, CACHE_FACTOR * cache_bytes)
    if memory_bytes is not None and ARRAYS * size > MOST_SHARE * memory_bytes:
        return None, f"needs {ARRAYS * size >> 20} MiB ({ARRAYS} arrays of {CACHE_FACTOR}x the cache), over half of the {memory_bytes >> 20} MiB there are"
    return size, ""


def measure_memory(session: Session, budget_s: float) -> Iterator[Result]:
    """One result for each kernel, of the number of threads that was best for it."""
    import torch

    device = session.device
    size, refusal = array_bytes(device.last_level_cache_bytes, device.memory_bytes, least=CUDA_BYTES if device.cuda else LEAST_BYTES)
    if size is None:
        yield from (_task(kernel, 0, 0).without(Status.SKIPPED, refusal) for kernel in KERNELS)
        return
    threads = torch.get_num_threads()
    try:
        yield from _sweep(session, size // ITEM, budget_s)
    finally:
        set_threads(threads)


def _sweep(session: Session, elements: int, budget_s: float) -> Iterator[Result]:
    best: dict[str, Result] = {}
    deadline = Deadline(budget_s)
    counts = session.thread_counts()
    for index, threads in enumerate(counts):
        if best and not deadline.left:
            break
        for result in _measure(session, elements, threads, deadline.left / (len(counts) - index)):
            known = best.get(result.name)
            points = (*(known.sweep if known else ()), *result.sweep)
            chosen = result if known is None or (result.median or 0.0) > (known.median or 0.0) else known
            best[result.name] = chosen.model_copy(update={"sweep": points})
    yield from best.values()


def _measure(session: Session, elements: int, threads: int, budget_s: float) -> Iterator[Result]:
    """All kernels on one number of threads."""
    set_threads(threads)
    arrays = Arrays.make(elements, session.device.name)
    kernels = arrays.kernels()
    for kernel in kernels.values():  # warm-up
        kernel()
    wanted = max(LEAST_ROUNDS, min(MOST_ROUNDS, int(budget_s / max(sum(session.clock(kernel) for kernel in kernels.values()), 1e-6))))
    # One kernel after the other, each watched on its own. Each is idempotent: however often it runs, it counts as one step.
    steps = 2 * len(kernels)
    for name, kernel in kernels.items():
        steps += 1
        task = _task(name, elements, threads)
        result = session.timed(task, partial(repeat, kernel, clock=session.clock, budget_s=0.0, least=wanted), check=partial(arrays.fault, steps))
        yield result.model_copy(update={"sweep": (session.point(task, result.samples_s),)})


def _task(kernel: str, elements: int, threads: int) -> Task:
    moved = KERNELS[kernel] * elements * ITEM
    return Task(
        f"memory.{kernel}",
        Group.MEMORY,
        "GB/s",
        float(moved),
        dtype="float64",
        shape=(elements,),
        threads=threads,
        working_set_bytes=ARRAYS * elements * ITEM,
        note=f"counted as STREAM does: {KERNELS[kernel]} array{'s' if KERNELS[kernel] > 1 else ''} a pass, no write-allocate",
        peak="memory",
    )
