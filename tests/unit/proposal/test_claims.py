"""Verdicts: what holds, what does not, and everything that cannot be told."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stack.evidence import Figure, FigureClass, Record
from stack.evidence.record import Host, Tool
from stack.proposal.claims import Outcome, judge
from stack.proposal.document import Claim


def record(*figures: Figure, kind: str = "bench", **config: Any) -> Record:
    return Record(
        kind=kind,
        title="A run",
        config=config,
        figures=figures,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        command=("stackproof",),
        tool=Tool(version="1"),
        host=Host(fingerprint="f", machine="m", system="s", python="3", cpu_count=2),
    )


def figure(
    value: float | int | str | bool | None = 12.5, name: str = "ttft_ms.p50", unit: str = "ms", kind: FigureClass = FigureClass.MEASURED, note: str = ""
) -> Figure:
    return Figure(name=name, value=value, unit=unit, kind=kind, note=note)


def claim(**changes: Any) -> Claim:
    given_ = {"id": "fast", "statement": "It is fast", "figure": "bench/ttft_ms.p50", "op": "<=", "value": 20, "unit": "ms"}
    return Claim.model_validate(given_ | changes)


@pytest.mark.parametrize(
    ("op", "value", "outcome"),
    [
        ("<=", 12.5, "holds"),
        ("<=", 12.4, "does_not_hold"),
        (">=", 12.5, "holds"),
        (">=", 13, "does_not_hold"),
        ("==", 12.5, "holds"),
        ("==", 12, "does_not_hold"),
    ],
)
def test_a_claim_is_compared_with_its_figure(op: str, value: float, outcome: str) -> None:
    measured = record(figure())
    verdict = judge(claim(op=op, value=value), [measured])
    assert (verdict.outcome, verdict.observed, verdict.figure_class, verdict.evidence) == (outcome, 12.5, FigureClass.MEASURED, (measured.id,))


@given(observed=st.floats(allow_nan=False, allow_infinity=False), bound=st.floats(allow_nan=False, allow_infinity=False))
def test_at_most_and_at_least_agree_with_arithmetic(observed: float, bound: float) -> None:
    records = [record(figure(observed))]
    assert (judge(claim(op="<=", value=bound), records).outcome is Outcome.HOLDS) == (observed <= bound)
    assert (judge(claim(op=">=", value=bound), records).outcome is Outcome.HOLDS) == (observed >= bound)


@pytest.mark.parametrize(
    ("records", "changes", "reason"),
    [
        ([], {}, "there is no bench record"),
        ([record(figure(), kind="app")], {}, "there is no bench record"),
        ([record(figure(name="other"))], {}, "no bench record has a figure ttft_ms.p50"),
        ([record(figure(None, note="no answers came"))], {}, "the figure is unknown: no answers came"),
        ([record(figure(kind=FigureClass.PUBLISHED))], {}, "needs a measured figure and this one is published"),
        ([record(figure(kind=FigureClass.DECLARED))], {"needs": "computed"}, "needs a computed figure and this one is declared"),
        ([record(figure(kind=FigureClass.COMPUTED))], {}, "needs a measured figure and this one is computed"),
        ([record(figure(unit="s"))], {}, "the claim is in ms and the figure in s"),
        ([record(figure("fast", unit="ms"))], {}, "cannot be compared"),
        ([record(figure(True, unit="ms"))], {"op": "=="}, "cannot be compared"),
        ([record(figure(1)), record(figure(2))], {}, "2 records disagree"),
        ([record(figure(), figure(False, name="bench.chat.valid", unit=""))], {}, "not valid"),
        ([record(figure(), workload="chat")], {"where": {"workload": "batch"}}, "there is no bench record with workload = batch"),
    ],
)
def test_what_cannot_be_told_says_why(records: list[Record], changes: dict[str, Any], reason: str) -> None:
    verdict = judge(claim(**changes), records)
    assert verdict.outcome is Outcome.CANNOT_TELL
    assert reason in verdict.reason


def test_records_that_agree_are_not_in_conflict_and_the_latest_is_quoted() -> None:
    first, last = record(figure(), rate=1), record(figure(), rate=2)
    assert judge(claim(), [first, last]).evidence == (last.id,)


def test_an_invalid_run_is_passed_over_when_a_valid_one_has_the_figure() -> None:
    invalid = record(figure(1.0), figure(False, name="valid", unit=""))
    valid = record(figure(), figure(True, name="valid", unit=""))
    assert judge(claim(), [invalid, valid]).evidence == (valid.id,)


def test_whether_a_run_is_valid_can_itself_be_claimed() -> None:
    invalid = record(figure(False, name="bench.chat.valid", unit=""))
    assert judge(claim(figure="bench/bench.chat.valid", op="==", value=True, unit=""), [invalid]).outcome is Outcome.DOES_NOT_HOLD


def test_where_picks_among_records_by_their_configuration() -> None:
    slow, fast = record(figure(90.0), workload={"name": "batch"}), record(figure(), workload={"name": "chat"})
    assert judge(claim(where={"workload.name": "chat"}), [slow, fast]).evidence == (fast.id,)


@pytest.mark.parametrize(("needs", "kind"), [("computed", "computed"), ("computed", "measured"), ("any", "published"), ("any", "declared")])
def test_a_claim_can_ask_for_less_than_a_measurement(needs: str, kind: str) -> None:
    assert judge(claim(needs=needs), [record(figure(kind=FigureClass(kind)))]).outcome is Outcome.HOLDS


@pytest.mark.parametrize(("baseline", "outcome"), [(12.5, "holds"), (12.6, "does_not_hold")])
def test_a_figure_can_be_held_against_another_one(baseline: float, outcome: str) -> None:
    run = record(figure(), figure(baseline, name="baseline"))
    verdict = judge(claim(op=">=", value=None, against="bench/baseline"), [run])
    assert (verdict.outcome, verdict.observed, verdict.bound, verdict.evidence) == (outcome, 12.5, baseline, (run.id,))


@pytest.mark.parametrize(
    "baseline", [None, figure(None, name="baseline"), figure(1, name="baseline", unit="s"), figure(1, name="baseline", kind=FigureClass.DECLARED)]
)
def test_a_bound_must_be_as_good_as_the_figure_held_against_it(baseline: Figure | None) -> None:
    run = record(figure(), *([baseline] if baseline else []))
    verdict = judge(claim(value=None, against="bench/baseline"), [run])
    assert verdict.outcome is Outcome.CANNOT_TELL
    assert verdict.reason


@pytest.mark.parametrize(("value", "outcome"), [(True, "holds"), (False, "does_not_hold")])
def test_yes_and_no_are_compared_only_with_each_other(value: bool, outcome: str) -> None:
    assert judge(claim(op="==", value=value, unit=""), [record(figure(True, unit=""))]).outcome == outcome
    assert judge(claim(op="==", value=1, unit=""), [record(figure(True, unit=""))]).outcome is Outcome.CANNOT_TELL


@pytest.mark.parametrize(
    "changes",
    [
        {"value": float("nan")},
        {"value": None},
        {"op": "<"},
        {"figure": "ttft"},
        {"figure": "../etc/passwd"},
        {"id": "Not an id"},
        {"statement": " "},
        {"extra": 1},
        {"needs": "published"},
    ],
)
def test_claims_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        claim(**changes)
