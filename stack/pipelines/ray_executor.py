"""Shard tasks on Ray Core (edge): on the cluster that RAY_ADDRESS names, or on a small one of this run alone."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from stack.pipelines.errors import PipelineError
from stack.runtime.errors import StackproofError
from stack.runtime.ray_cluster import LocalRay, given_address

T = TypeVar("T")
R = TypeVar("R")

CPUS = 2
COUNT_EVERY_S = 5.0
"""How often a given cluster is asked for its size: an autoscaler may change it."""


class RayExecutor:
    """A context manager. A cluster of its own starts with the first task, so that a run with nothing left to do pays nothing.

    The cluster that RAY_ADDRESS names is joined at once (RayClusterError where it cannot be), is neither started nor stopped, and gives
    `workers` in place of the argument: its CPUs, one for each task. Every node of it must have this package, the sources, the output
    folder and the file of the API key at the same paths; its token, if it wants one, is in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH.
    """

    def __init__(self, *, logs: Path, workers: int = CPUS) -> None:
        self.workers = workers
        self._logs = logs
        self._ray = LocalRay(logs=logs, cpus=workers)
        self._given = given_address()
        self._counted_s = 0.0

    def __enter__(self) -> Self:
        if self._given is not None:
            self._begin()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._ray.stop()

    @property
    def dashboard(self) -> str | None:
        """Address of the dashboard of a cluster that was joined."""
        return f"http://{self._ray.dashboard}" if self._given is not None and self._ray.dashboard else None

    def map(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """A task is tried again only when its worker died; what it raises itself ends the run, and the cluster with it."""
        waiting = iter(tasks)
        first = list(islice(waiting, 1))
        if not first:
            return
        if not self._ray.started:
            self._begin()
        import ray
        from ray.exceptions import RayError, RayTaskError

        remote = ray.remote(num_cpus=1, max_retries=3)(work)
        running: list[ray.ObjectRef] = [remote.remote(first[0])]
        try:
            while running:
                self._count()
                # Twice as many as run: the next one is at hand, and the rest stays out of the object store.
                running += [remote.remote(task) for task in islice(waiting, max(0, 2 * self.workers - len(running)))]
                (done,), running = ray.wait(running, num_returns=1)
                yield ray.get(done)
        except RayTaskError as error:
            if isinstance(error.cause, StackproofError):
                raise error.cause from None
            raise
        except RayError as error:
            where = self._logs if self._given is None else f"the logs of the cluster at {self._given}"
            raise PipelineError(f"Ray lost a shard task for good ({type(error).__name__}): see {where}, then run the same command again to go on") from error
        finally:
            if running:
                # Not `ray.cancel`: in Ray 2.60 a reply that crosses a cancellation aborts this process.
                self._ray.stop()

    def _begin(self) -> None:
        if self._given is None:
            self._ray.start()
        else:
            self._ray.join(self._given)
            self._count(now=True)

    def _count(self, *, now: bool = False) -> None:
        """A given cluster has as many workers as CPUs now; one at least, so that waiting tasks make an autoscaler add some."""
        if self._given is None or not (now or time.monotonic() - self._counted_s >= COUNT_EVERY_S):
            return
        import ray

        self.workers = max(1, int(ray.cluster_resources().get("CPU", 0)))
        self._counted_s = time.monotonic()
