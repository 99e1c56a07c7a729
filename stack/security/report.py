"""What an audit found (models; no I/O)."""

from collections import Counter
from enum import StrEnum

from pydantic import Field

from stack.evidence.record import Frozen
from stack.security.controls import Mapping, Target

SCHEMA = "stackproof.audit/v1"


class Status(StrEnum):
    """`unknown` is never a pass: the check was not carried out, and `detail` says why."""

    PASS = "pass"  # noqa: S105  # a verdict, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"


class Finding(Frozen):
    """What one check saw."""

    status: Status
    observed: str = Field(description="The fact, without secrets")
    detail: str = Field(default="", description="Where it is, or why it could not be seen")


class ControlResult(Finding):
    """A finding with the control it speaks of."""

    control: str
    title: str
    target: Target
    mappings: tuple[Mapping, ...]
    remediation: str
    seconds: float = Field(ge=0)


class AuditReport(Frozen):
    """One result per control of the targets that were asked for."""

    schema_version: str = SCHEMA
    targets: tuple[Target, ...]
    subject: dict[str, str] = Field(description="What was audited: URLs, model, folders; without secrets")
    results: tuple[ControlResult, ...]

    @property
    def counts(self) -> dict[Status, int]:
        """Every status, also those that did not occur."""
        found = Counter(result.status for result in self.results)
        return {status: found[status] for status in Status}

    def with_status(self, status: Status) -> tuple[ControlResult, ...]:
        return tuple(result for result in self.results if result.status is status)


def passed(observed: str, detail: str = "") -> Finding:
    return Finding(status=Status.PASS, observed=observed, detail=detail)


def failed(observed: str, detail: str = "") -> Finding:
    return Finding(status=Status.FAIL, observed=observed, detail=detail)


def verdict(holds: bool, observed: str, detail: str = "") -> Finding:
    return passed(observed, detail) if holds else failed(observed, detail)


def summarize(faults: list[str], *, good: str, shown: int = 3) -> Finding:
    """Pass with `good` when there is no fault, else fail with the first few of them."""
    more = f" (and {len(faults) - shown} more)" if len(faults) > shown else ""
    return passed(good) if not faults else failed("; ".join(faults[:shown]) + more)
