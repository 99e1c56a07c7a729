"""Verdicts on claims (logic)."""

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
    bound: Scalar | None = None
    """What was compared with: the claim's value, or the value of the figure in `against`."""
    evidence: tuple[str, ...] = ()
    """Ids of the records looked at: those quoted, or those in conflict."""


@dataclass(frozen=True)
class _Quote:
    """A figure that was looked for: found in one record, or a reason why it cannot be quoted."""

    figure: Figure | None = None
    evidence: tuple[str, ...] = ()
    reason: str = ""


def judge(claim: Claim, records: Sequence[Record]) -> Verdict:
    """Compare the one figure a claim names with its bound; `records` oldest first, the latest of equal ones is quoted."""
    found = _quote(claim.figure, claim, records)
    bound = _quote(claim.against, claim, records) if claim.against else _Quote()
    limit = bound.figure.value if bound.figure else claim.value
    observed = found.figure.value if found.figure else None
    reason = found.reason or bound.reason
    if not reason and not _comparable(claim.op, observed, limit):
        reason = f"{observed!r} and {limit!r} cannot be compared with {claim.op}"
    outcome = Outcome.CANNOT_TELL if reason else Outcome.HOLDS if _COMPARE[claim.op](observed, limit) else Outcome.DOES_NOT_HOLD
    return Verdict(
        claim=claim,
        outcome=outcome,
        reason=reason,
        observed=observed,
        figure_class=found.figure.kind if found.figure else None,
        bound=limit,
        evidence=tuple(dict.fromkeys((*found.evidence, *bound.evidence))),
    )


def _quote(reference: str, claim: Claim, records: Sequence[Record]) -> _Quote:
    """Find the figure and say why it cannot decide the claim, if it cannot."""
    kind, _, name = reference.partition("/")
    described = f"{kind} record" + (f" with {', '.join(f'{key} = {value}' for key, value in claim.where.items())}" if claim.where else "")
    candidates = [record for record in records if record.kind == kind and _selected(record, claim)]
    if not candidates:
        return _Quote(reason=f"there is no {described}")
    found = [(record, figure) for record in candidates if (figure := record.figure(name)) is not None]
    if not found:
        return _Quote(reason=f"no {described} has a figure {name}", evidence=_ids(candidates))
    valid = found if _tells_validity(name) else [(record, figure) for record, figure in found if not _invalid(record)]
    if not valid:
        return _Quote(reason="the run says of itself that it is not valid", evidence=_ids(record for record, _ in found))
    if len({(type(figure.value), figure.value, figure.unit, figure.kind) for _, figure in valid}) > 1:
        return _Quote(reason=f"{len(valid)} records disagree; pick one with `where`", evidence=_ids(record for record, _ in valid))
    record, figure = valid[-1]
    return _Quote(figure=figure, evidence=(record.id,), reason=_unfit(claim, figure))


def _ids(records: Iterable[Record]) -> tuple[str, ...]:
    return tuple(record.id for record in records)


def _unfit(claim: Claim, figure: Figure) -> str:
    """Why the figure cannot decide the claim; empty when it can."""
    if figure.value is None:
        return f"the figure is unknown: {figure.note or 'no reason is given'}"
    if figure.kind not in _ACCEPTED[claim.needs]:
        return f"the claim needs a {claim.needs} figure and this one is {figure.kind}"
    if figure.unit != claim.unit:
        return f"the claim is in {claim.unit or 'no unit'} and the figure in {figure.unit or 'no unit'}"
    return ""


def _comparable(op: str, observed: Scalar | None, limit: Scalar | None) -> bool:
    if _is_number(observed) and _is_number(limit):
        return True
    return op == "==" and type(observed) is type(limit)


def _is_number(value: Scalar | None) -> bool:
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
