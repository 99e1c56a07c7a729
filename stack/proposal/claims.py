"""Verdicts on claims (logic)."""

import operator
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from stack.evidence import Figure, FigureClass, Record
from stack.evidence.record import Frozen
from stack.proposal.document import Claim, Scalar

VALIDITY = "valid"
"""A record in which a figure with this last part of its name is false says of its own run that it must not be quoted."""

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}
_ACCEPTED: dict[str, frozenset[FigureClass]] = {
    "measured": frozenset({FigureClass.MEASURED}),
    "computed": frozenset({FigureClass.MEASURED, FigureClass.COMPUTED}),
    "any": frozenset(FigureClass),
}


class Outcome(StrEnum):
    HOLDS = "holds"
    DOES_NOT_HOLD = "does_not_hold"
    CANNOT_TELL = "cannot_tell"


class Verdict(Frozen):
    """A claim beside what the evidence says; `reason` says in words why it cannot be told."""

    claim: Claim
    outcome: Outcome
    reason: str = ""
    observed: Scalar | None = None
    figure_class: FigureClass | None = None
    evidence: tuple[str, ...] = ()
    """Ids of the records looked at: the one quoted, or those in conflict."""


def judge(claim: Claim, records: Sequence[Record]) -> Verdict:
    """Compare a claim with the one figure it names; `records` oldest first, the latest of equal ones is quoted."""
    described = f"{claim.kind} record" + (f" with {', '.join(f'{key} = {value}' for key, value in claim.where.items())}" if claim.where else "")
    candidates = [record for record in records if record.kind == claim.kind and _selected(record, claim)]
    if not candidates:
        return Verdict(claim=claim, outcome=Outcome.CANNOT_TELL, reason=f"there is no {described}")
    found = [(record, figure) for record in candidates if (figure := record.figure(claim.name)) is not None]
    if not found:
        return _cannot_tell(claim, candidates, f"no {described} has a figure {claim.name}")
    valid = found if _tells_validity(claim.name) else [(record, figure) for record, figure in found if not _invalid(record)]
    if not valid:
        return _cannot_tell(claim, [record for record, _ in found], "the run says of itself that it is not valid")
    if len({(type(figure.value), figure.value, figure.unit, figure.kind) for _, figure in valid}) > 1:
        return _cannot_tell(claim, [record for record, _ in valid], f"{len(valid)} records disagree; pick one with `where`")
    record, figure = valid[-1]
    if reason := _unfit(claim, figure):
        return Verdict(claim=claim, outcome=Outcome.CANNOT_TELL, reason=reason, observed=figure.value, figure_class=figure.kind, evidence=(record.id,))
    holds = _COMPARE[claim.op](figure.value, claim.value)
    return Verdict(
        claim=claim,
        outcome=Outcome.HOLDS if holds else Outcome.DOES_NOT_HOLD,
        observed=figure.value,
        figure_class=figure.kind,
        evidence=(record.id,),
    )


def _cannot_tell(claim: Claim, records: Sequence[Record], reason: str) -> Verdict:
    return Verdict(claim=claim, outcome=Outcome.CANNOT_TELL, reason=reason, evidence=tuple(record.id for record in records))


def _unfit(claim: Claim, figure: Figure) -> str:
    """Why the figure cannot decide the claim; empty when it can."""
    if figure.value is None:
        return f"the figure is unknown: {figure.note or 'no reason is given'}"
    if figure.kind not in _ACCEPTED[claim.needs]:
        return f"the claim needs a {claim.needs} figure and this one is {figure.kind}"
    if figure.unit != claim.unit:
        return f"the claim is in {claim.unit or 'no unit'} and the figure in {figure.unit or 'no unit'}"
    if not _comparable(claim, figure.value):
        return f"{figure.value!r} and {claim.value!r} cannot be compared with {claim.op}"
    return ""


def _comparable(claim: Claim, observed: Scalar) -> bool:
    if _is_number(observed) and _is_number(claim.value):
        return True
    return claim.op == "==" and type(observed) is type(claim.value)


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _invalid(record: Record) -> bool:
    return any(_tells_validity(figure.name) and figure.value is False for figure in record.figures)


def _tells_validity(name: str) -> bool:
    return name.rpartition(".")[2] == VALIDITY


def _selected(record: Record, claim: Claim) -> bool:
    return all(_lookup(record.config, key) == value for key, value in claim.where.items())


def _lookup(config: dict[str, Any], dotted: str) -> Any:
    """The value under a dotted key, None when the path leaves the mappings."""
    value: Any = config
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
