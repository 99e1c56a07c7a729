"""Where shard tasks run: in this process, or in Ray workers. The run itself does not know the difference."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

ExecutorName = Literal["local", "ray"]


class Executor(Protocol):
    """`workers` tasks run at the same time."""

    @property
    def workers(self) -> int: ...

    @property
    def dashboard(self) -> str | None:
        """A page that shows the tasks while they run, where there is one."""
        ...

    def map(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Results as they come, in any order; the first failure is raised and the rest is given up. Tasks are taken when a worker is near to them."""
        ...


class LocalExecutor:
    """One task after the other, here; requests of one task still run concurrently."""

    workers = 1
    dashboard = None

    def map(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        return map(work, tasks)


def open_executor(name: ExecutorName, *, logs: Path) -> AbstractContextManager[Executor]:
    """`ray` (the cluster that RAY_ADDRESS names, or one of this run alone, started when the first task comes, its logs under `logs`) or `local`."""
    if name == "local":
        return nullcontext(LocalExecutor())
    from stack.pipelines.ray_executor import RayExecutor

    return RayExecutor(logs=logs)
