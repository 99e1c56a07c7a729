"""What an audit is made of: phases to run, what comes of them, and the audit itself (models and a protocol)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.audits.models import AskedAnswer, Ruling, Subject
from bench.results.samples import Samples
from bench.results.summary import Summary
from bench.workload.models import Workload

MEASURED = "load"
"""The phase that an existing run stands in for."""


@dataclass(frozen=True)
class LoadPhase:
    """A run of the load generator; the answers' text is kept."""

    name: str
    workload: Workload
    seed: int


@dataclass(frozen=True)
class AskPhase:
    """Single requests, `concurrency` at a time: bodies by their number."""

    name: str
    bodies: Mapping[int, dict[str, Any]]
    stream: bool = False
    concurrency: int = 1


@dataclass(frozen=True)
class Loaded:
    """What came of a load phase."""

    samples: Samples
    summary: Summary


@dataclass(frozen=True)
class Asked:
    """What came of an ask phase, in the order of the numbers."""

    answers: tuple[AskedAnswer, ...]


Phase = LoadPhase | AskPhase
Outcome = Loaded | Asked
Outcomes = Mapping[str, Outcome]


class AuditTest(Protocol):
    """One audit. BenchError from `plan_runs` when the subject is none for it."""

    name: str
    title: str

    def plan_runs(self, subject: Subject, done: Outcomes) -> Sequence[Phase]:
        """All phases that can be told so far; asked again, with more `done`, until none of them is left to run."""
        ...

    def verify(self, subject: Subject, done: Outcomes) -> Ruling:
        """A pure function; every phase of the plan is in `done`."""
        ...


def loaded(done: Outcomes, name: str) -> Loaded:
    found = done[name]
    if not isinstance(found, Loaded):
        raise TypeError(f"phase {name} is no load")
    return found


def asked(done: Outcomes, name: str) -> dict[int, AskedAnswer]:
    """By the request's number."""
    found = done[name]
    if not isinstance(found, Asked):
        raise TypeError(f"phase {name} asked nothing")
    return {answer.index: answer for answer in found.answers}
