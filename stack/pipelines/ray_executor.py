"""Shard tasks on Ray Core (edge)."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from stack.pipelines.errors import PipelineError
from stack.runtime.errors import StackproofError
from stack.runtime.ray_cluster import LocalRay

T = TypeVar("T")
R = TypeVar("R")

CPUS = 2


class RayExecutor:
    """A context manager; the cluster starts with the first task, so that a run with nothing left to do pays nothing."""

    def __init__(self, *, logs: Path, workers: int = CPUS) -> None:
        self.workers = workers
        self._logs = logs
        self._ray = LocalRay(logs=logs, cpus=workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._ray.stop()

    def map(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """A task is tried again only when its worker died; what it raises itself ends the run, and the cluster with it."""
        waiting = iter(tasks)
        first = list(islice(waiting, 1))
        if not first:
            return
        if not self._ray.started:
            self._ray.start()
        import ray
        from ray.exceptions import RayError, RayTaskError

        remote = ray.remote(num_cpus=1, max_retries=3)(work)
        running: list[ray.ObjectRef] = [remote.remote(first[0])]
        try:
            while running:
                # Twice as many as run: the next one is at hand, and the rest stays out of the object store.
                running += [remote.remote(task) for task in islice(waiting, 2 * self.workers - len(running))]
                (done,), running = ray.wait(running, num_returns=1)
                yield ray.get(done)
        except RayTaskError as error:
            if isinstance(error.cause, StackproofError):
                raise error.cause from None
            raise
        except RayError as error:
            raise PipelineError(
                f"Ray lost a shard task for good ({type(error).__name__}): see {self._logs}, then run the same command again to go on"
            ) from error
        finally:
            if running:
                # Not `ray.cancel`: in Ray 2.60 a reply that crosses a cancellation aborts this process.
                self._ray.stop()
