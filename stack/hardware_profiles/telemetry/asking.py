"""Asking one device many questions, each of which it may leave open (edge: what is logged; the rest is logic)."""

import importlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.tree import Tree, UnreadableError

logger = logging.getLogger(__name__)

LONGEST = 120


@dataclass(frozen=True)
class Device:
    """`labels` are those of `metrics.GPU`; `handle` is whatever the maker's library asks by, None for a device that is counted and cannot be opened."""

    labels: tuple[str, ...]
    handle: Any


Question = tuple[tuple[str, ...], Callable[[Device], Iterable[Reading]]]
"""The metrics that it may answer, and how it is asked. What it does not know it leaves out, or raises."""


@dataclass
class Inquiry:
    """All questions of one source. A device that answers none is down; what one leaves open is logged once, with the reason."""

    source: str
    questions: Sequence[Question]
    _told: set[tuple[str, str]] = field(default_factory=set)

    def readings(self, device: Device) -> Iterator[Reading]:
        """The answers, and `stackproof_gpu_up`."""
        found: list[Reading] = []
        refused: list[tuple[str, str]] = []
        for metrics, ask in self.questions if device.handle is not None else ():
            try:
                found += ask(device)
            except Exception as error:  # makers' exceptions share no base; each question fails alone
                refused.append((metrics[0], words(error)))
        yield from found
        yield Reading("stackproof_gpu_up", float(bool(found)), device.labels)
        self._tell(device, refused if found else [("any question", reason) for _, reason in refused[:1]])

    def _tell(self, device: Device, refused: Iterable[tuple[str, str]]) -> None:
        for what, reason in refused:
            if (what, reason) not in self._told:
                self._told.add((what, reason))
                logger.info("source %s: %s has no answer from device %s: %s", self.source, what, device.labels[0], reason)


def single(metric: str, ask: Callable[[Any], float | None], unit: float = 1) -> Question:
    """A question with one answer, multiplied by what its unit is in ours; None is no answer."""

    def answer(device: Device) -> Iterator[Reading]:
        if (value := ask(device.handle)) is not None:
            yield Reading(metric, value * unit, device.labels)

    return (metric,), answer


def any_answer(found: Sequence[Reading]) -> bool:
    return any(reading.metric != "stackproof_gpu_up" for reading in found)


def words(error: Exception) -> str:
    """One line."""
    return " ".join(str(error).split())[:LONGEST] or type(error).__name__


def driver_loaded(tree: Tree, module: str) -> None:
    """UnreadableError without it: no maker's library is looked for on a machine that has none of its devices."""
    if not tree.exists(f"sys/module/{module}"):
        raise UnreadableError(f"the kernel driver {module} is not loaded")


def optional_module(name: str, package: str) -> Any:
    """A maker's Python package, which is none of our dependencies. Some print to stdout when their library is missing."""
    with redirect_stdout(io.StringIO()):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and name.startswith(error.name):
                raise UnreadableError(f"the package {package} is not installed") from None
            raise UnreadableError(f"the package {package} cannot be imported: {words(error)}") from None
        except Exception as error:  # KeyError, OSError, AttributeError
            raise UnreadableError(f"the package {package} cannot use its library: {type(error).__name__}: {words(error)}") from None
