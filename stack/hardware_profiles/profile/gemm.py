"""Matrix products by data type: the best sustained rate over shapes and threads.

Operations of an (m x k) times (k x n) product: 2 m k n (LAPACK Working Note 41, a multiplication and an addition each). Inputs are
normal random numbers: a GPU draws less power, and clocks higher, on zeros.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stack.hardware_profiles.profile.models import Group, Point, Result, Status, Unit
from stack.hardware_profiles.profile.session import Deadline, Session, Task, Tensor, rate, set_threads, with_threads
from stack.hardware_profiles.profile.timing import quantile, repeat

Shape = tuple[int, int, int]

SQUARES = (192, 256, 320, 384, 448, 512, 576, 768, 1024, 1536, 2048, 4096, 8192, 16384)
"""Small ones densely: where a product just fits the caches, the rate of a CPU changes by a tenth from one to the next."""

LAYERS: tuple[Shape, ...] = ((256, 576, 1536), (512, 4096, 4096), (512, 4096, 14336), (2048, 8192, 28672))
"""Rows, inner and columns of layers that are served: SmolLM2-135M's gate projection, Llama 3.1's 8B attention and gate, its 70B gate."""

ONE_CALL_S = 1.0
"""A data type whose product takes longer than this is done: float16 without instructions takes 6 to 17 s at 2048."""

FINALISTS = 4
SWEEP_SHARE, FINAL_SHARE = 0.5, 0.25
"""Of a data type's time: first all places shortly, then the best of them in turns, then the best of these for the rest."""

CHOSEN_BY = 0.9
"""A place is chosen by this quantile of its rates: interruptions only ever slow a product, and short ones lose more by them."""

MOST_SHARE = 1 / (2 * FINALISTS)
"""Of the device's memory that one product may take: the finalists exist at a time."""

LEAST_REPETITIONS = 10
PLACE_S, TURN_S = 0.1, 0.05
SLICE = 16
SLACK = 8.0


@dataclass(frozen=True)
class Kind:
    """A data type as it is computed. `rounded` is the unit roundoff of the coarser of input and result, `summed` that of the sum inside."""

    name: str
    torch_name: str
    itemsize: int
    rounded: float
    summed: float
    unit: Unit = "GFLOP/s"

    def place(self, shape: Shape) -> Task:
        m, k, n = shape
        return Task(
            f"gemm.{self.name}", Group.GEMM, self.unit, 2.0 * m * k * n, dtype=self.name, shape=shape, working_set_bytes=self.bytes_moved(shape), peak=self.name
        )

    def bytes_moved(self, shape: Shape) -> int:
        """Both inputs and the result once; int8 and float8 give wider results."""
        m, k, n = shape
        return self.itemsize * (m * k + k * n) + {"int8": 4, "float8": 2}.get(self.name, self.itemsize) * m * n


KINDS = (
    Kind("float64", "float64", 8, 2.0**-53, 2.0**-53),
    Kind("float32", "float32", 4, 2.0**-24, 2.0**-24),
    Kind("tf32", "float32", 4, 2.0**-11, 2.0**-24),  # float32 in memory, inputs rounded to 11 bits
    Kind("bfloat16", "bfloat16", 2, 2.0**-8, 2.0**-24),
    Kind("float16", "float16", 2, 2.0**-11, 2.0**-24),
    Kind("float8", "float8_e4m3fn", 1, 2.0**-8, 2.0**-24),  # the result is bfloat16
    Kind("int8", "int8", 1, 0.0, 0.0, "GOP/s"),
)


def measure_gemm(session: Session, budget_s: float) -> Iterator[Result]:
    """One result for each data type."""
    deadline = Deadline(budget_s)
    for index, kind in enumerate(KINDS):
        yield measure_kind(session, kind, deadline.left / (len(KINDS) - index))


def measure_kind(session: Session, kind: Kind, budget_s: float) -> Result:
    import torch

    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if kind.name == "tf32" else "highest")
    try:
        if kind.name == "tf32" and not session.device.cuda:
            return kind.place((0, 0, 0)).without(Status.NOT_SUPPORTED, "a type of GPUs only")
        return _best(session, kind, budget_s)
    except (RuntimeError, NotImplementedError, AttributeError, ValueError) as error:
        # What torch says of a type that this device or build does not multiply.
        return kind.place((0, 0, 0)).without(Status.NOT_SUPPORTED, f"torch: {str(error).strip().splitlines()[0][:200]}")
    finally:
        set_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


@dataclass(frozen=True)
class Tried:
    """A place of the sweep and the rate it is chosen by."""

    point: Point
    rate: float


def _best(session: Session, kind: Kind, budget_s: float) -> Result:
    tried = sweep_places(session, kind, Deadline(budget_s * SWEEP_SHARE))
    product, task = _final(session, kind, tried, Deadline(budget_s * FINAL_SHARE))
    once = session.clock(product.call)
    least = LEAST_REPETITIONS if once < ONE_CALL_S / 4 else 3
    remaining = budget_s * (1 - SWEEP_SHARE - FINAL_SHARE)
    sweep = [each.point for each in tried]
    return session.timed(task, lambda: repeat(product.call, clock=session.clock, budget_s=remaining, least=least), check=product.fault, sweep=sweep)


def _final(session: Session, kind: Kind, tried: list[Tried], deadline: Deadline) -> tuple["Product", Task]:
    """The best of the best places. They take turns, so that what slows the machine for a moment slows them all."""
    ranked = sorted(tried, key=lambda each: -each.rate)[:FINALISTS]
    finalists = [_prepare(session, kind, each.point) for each in ranked]
    times: list[list[float]] = [[] for _ in finalists]
    while len(finalists) > 1 and (deadline.left or not times[-1]):
        for index, (product, task) in enumerate(finalists):
            set_threads(task.threads or 0)
            times[index] += repeat(product.call, clock=session.clock, budget_s=TURN_S, least=1)
        session.tick()
    scores = [_score(task, own) if own else 0.0 for (_, task), own in zip(finalists, times, strict=True)]
    product, task = finalists[scores.index(max(scores))]
    set_threads(task.threads or 0)
    return product, task


def _score(task: Task, times: list[float]) -> float:
    return (task.work or 0.0) / quantile(sorted(times), 1 - CHOSEN_BY)


def sweep_places(session: Session, kind: Kind, deadline: Deadline) -> list[Tried]:
    """Every shape on every number of threads, small ones first, as far as time goes; at least the first."""
    tried: list[Tried] = []
    for shape in shapes():
        if tried and not worth_trying(kind, shape, [each.point for each in tried], memory_bytes=session.device.memory_bytes):
            continue
        product = Product.make(kind, shape, session.device.name)
        for threads in session.thread_counts():
            if tried and not deadline.left:
                return tried
            set_threads(threads)
            task = with_threads(kind.place(shape), threads)
            first = session.clock(product.call)
            times = repeat(product.call, clock=session.clock, budget_s=min(PLACE_S, deadline.left / 8), least=2) if first < ONE_CALL_S else [first]
            tried.append(Tried(session.point(task, times), _score(task, times)))
            session.tick()
    return tried


def shapes() -> list[Shape]:
    """All shapes, by the work they take."""
    squares: list[Shape] = [(n, n, n) for n in SQUARES]
    return sorted([*squares, *LAYERS], key=lambda shape: shape[0] * shape[1] * shape[2])


def worth_trying(kind: Kind, shape: Shape, points: list[Point], *, memory_bytes: int | None) -> bool:
    """Whether one product would take under a second at the best rate so far, and leaves room for the other finalists."""
    work = kind.place(shape).work or 0.0
    quick = work / max(rate(point, kind.unit) for point in points) < ONE_CALL_S
    return quick and (memory_bytes is None or kind.bytes_moved(shape) < memory_bytes * MOST_SHARE)


def _prepare(session: Session, kind: Kind, point: Point) -> tuple["Product", Task]:
    m, k, n = point.shape
    product = Product.make(kind, (m, k, n), session.device.name)
    set_threads(point.threads or 0)
    session.clock(product.call)  # warm-up: first touch, kernel choice
    return product, with_threads(kind.place((m, k, n)), point.threads or 0)


@dataclass
class Product:
    """A product ready to be computed again and again."""

    kind: Kind
    a: Tensor
    b: Tensor
    compute: Callable[[], Any]
    result: Tensor = None

    @classmethod
    def make(cls, kind: Kind, shape: Shape, device: str) -> "Product":
        import torch

        m, k, n = shape
        dtype = getattr(torch, kind.torch_name)
        generator = torch.Generator(device).manual_seed(m + k + n)

        def draw(rows: int, columns: int) -> Tensor:
            if kind.name == "int8":
                return torch.randint(-128, 128, (rows, columns), dtype=torch.int8, device=device, generator=generator)
            return torch.randn(rows, columns, device=device, generator=generator).to(dtype)

        a, b = draw(m, k), draw(k, n)
        if kind.name == "int8":
            return cls(kind, a, b, lambda: torch._int_mm(a, b))
        if kind.name == "float8":
            b = draw(n, k).t()  # the kernel takes its second input by columns
            one = torch.ones((), device=device)
            return cls(kind, a, b, lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16))
        out = torch.empty(m, n, dtype=dtype, device=device)
        return cls(kind, a, b, lambda: torch.mm(a, b, out=out))

    def call(self) -> None:
        self.result = self.compute()

    def fault(self) -> str:
        """What is wrong with a slice of the result, against the same in float64; empty when it is right.

        Allowed: SLACK (sqrt(k) u' |A||B| + u (|AB| + rms(AB))). The first is the probabilistic bound of Higham and Mary (SIAM J. Sci. Comput.
        41(5), 2019) for a sum of k terms with unit roundoff u', the second the rounding u of inputs, partial sums and result. Integers must be equal.
        """
        import torch

        rows, columns = self.a.shape[0], self.b.shape[1]
        some = slice(max(0, rows // 2 - SLICE), rows // 2 + SLICE)
        other = slice(max(0, columns // 2 - SLICE), columns // 2 + SLICE)
        a, b = (each.to(torch.float64).cpu() for each in (self.a[some], self.b[:, other]))
        expected, found = a @ b, self.result[some, other].to(torch.float64).cpu()
        summed = a.shape[1] ** 0.5 * self.kind.summed * (a.abs() @ b.abs())
        rounded = self.kind.rounded * (expected.abs() + expected.square().mean().sqrt())
        allowed = SLACK * (summed + rounded)
        worst = float(((found - expected).abs() - allowed).max())
        return "" if worst <= 0 else f"the product is wrong: off by {float((found - expected).abs().max()):.3g} where {float(allowed.max()):.3g} is allowed"
