"""One profile being taken: how a result is timed, watched, compared with its peak and judged."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from stack.hardware_profiles.inventory import Inventory
from stack.hardware_profiles.profile.conditions import Watch, disturbance
from stack.hardware_profiles.profile.device import Device
from stack.hardware_profiles.profile.energy import Meter
from stack.hardware_profiles.profile.judge import judge
from stack.hardware_profiles.profile.models import SCALE, Conditions, Disturbance, Energy, Group, Point, Result, Status, Unit
from stack.hardware_profiles.profile.peaks import PeakOf
from stack.hardware_profiles.profile.timing import Clock, figures
from stack.hardware_profiles.tree import UnreadableError


@dataclass(frozen=True)
class Task:
    """What one result measures. `work` is operations or bytes of one repetition; None measures a latency."""

    name: str
    group: Group
    unit: Unit
    work: float | None
    dtype: str | None = None
    shape: tuple[int, ...] = ()
    threads: int | None = None
    working_set_bytes: int | None = None
    note: str = ""
    peak: str | None = None
    """What to ask the peaks for; None where no peak is published."""

    def without(self, status: Status, reason: str, *, sweep: Sequence[Point] = ()) -> Result:
        """The result of what was not measured."""
        return Result(name=self.name, group=self.group, dtype=self.dtype, unit=self.unit, status=status, reason=reason, note=self.note, sweep=tuple(sweep))


@dataclass
class Session:
    device: Device
    inventory: Inventory
    clock: Clock
    watch: Watch
    peak_of: PeakOf
    meter: Meter | None = None
    quick: bool = False
    tick: Callable[[], None] = lambda: None

    @property
    def cores(self) -> int:
        """Whole cores that this process may use: affinity and quota counted."""
        return max(1, math.floor(self.inventory.cpu.usable_cores or 1))

    def thread_counts(self) -> list[int]:
        """1, 2, 4, ... and all cores, most first; a GPU is driven by whatever torch does."""
        if self.device.cuda:
            return [0]
        powers = [1 << bit for bit in range(self.cores.bit_length()) if 1 << bit < self.cores]
        return [self.cores, *reversed(powers)]

    def timed(self, task: Task, run: Callable[[], Sequence[float]], *, check: Callable[[], str] | None = None, sweep: Sequence[Point] = ()) -> Result:
        """`run` gives the seconds of each repetition; `check` what is wrong with the outcome, empty when it is right."""
        before, first, joules = self.watch.conditions(), self.watch.usage(), self._joules()
        samples = tuple(run())
        energy = self._spent(joules, len(samples), task)
        during = disturbance(first, self.watch.usage())
        fault = check() if check is not None else None
        self.tick()
        return self.told(task, samples, fault=fault, sweep=sweep, before=before, during=during, energy=energy)

    def told(
        self,
        task: Task,
        samples: Sequence[float],
        *,
        fault: str | None = None,
        sweep: Sequence[Point] = (),
        before: Conditions | None = None,
        during: Disturbance | None = None,
        energy: Energy | None = None,
    ) -> Result:
        """The judged result of repetitions that were timed here or elsewhere; `fault` None when nothing was checked."""
        peak, unknown = self.peak_of(task.peak) if task.peak else (None, "no peak is published for it")
        found = figures(samples, unit=task.unit, work=task.work)
        result = Result(
            **{name: getattr(task, name) for name in ("name", "group", "dtype", "shape", "unit", "work", "working_set_bytes", "note")},
            **vars(found),
            threads=task.threads or None,
            repetitions=len(samples),
            verified=None if fault is None else not fault,
            peak=peak,
            peak_unknown=unknown if peak is None else "",
            share_of_peak=found.median / peak.value if peak else None,
            energy=energy,
            status=Status.OK,
            reason=fault or "",
            before=before,
            after=self.watch.conditions(),
            during=during,
            samples_s=tuple(samples),
            sweep=tuple(sweep),
        )
        status, reason = judge(result)
        return result.model_copy(update={"status": status, "reason": reason})

    def point(self, task: Task, samples: Sequence[float]) -> Point:
        """A place of a sweep, not watched and not judged."""
        return Point(shape=task.shape, threads=task.threads or None, value=figures(samples, unit=task.unit, work=task.work).median, repetitions=len(samples))

    def _joules(self) -> float | None:
        reading: float | None = None
        if self.meter is not None:
            with suppress(OSError, UnreadableError):
                reading = self.meter.read()
        return reading

    def _spent(self, before: float | None, repetitions: int, task: Task) -> Energy | None:
        after = self._joules() if before is not None else None
        if self.meter is None or before is None or after is None:
            return None
        joules = max(0.0, after - before)
        return Energy(joules=joules, meter=self.meter.name, joules_per_unit=joules / (task.work * repetitions) if task.work else None)


def rate(point: Point, unit: Unit) -> float:
    """Work a second, in single operations or bytes."""
    return point.value * SCALE[unit]


def with_threads(task: Task, threads: int) -> Task:
    return replace(task, threads=threads)


def set_threads(threads: int) -> None:
    """Of torch's own pool; 0 leaves it."""
    if threads:
        import torch

        torch.set_num_threads(threads)


class Deadline:
    """A share of the time that is left."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())


Tensor = Any
"""torch is imported inside functions and untyped here."""
