"""From the predictions' files to figures: the one way they are worked out, at the evaluation and at each verification."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from stack.apps.errors import AppError
from stack.apps.proportion import Proportion
from stack.apps.transit.evaluation.predictions import Outcome, Prediction, invents, is_optimal, names_stops, slots_match
from stack.apps.transit.trips import Reader
from stack.evidence import Figure, FigureClass
from stack.runtime.errors import describe_validation

PREDICTIONS = "predictions.jsonl"
STOP_NAMES = "stop_names.json"
DIGITS = 6
"""Decimal places of shares."""


def figures(artifact: Callable[[str], Path]) -> list[Figure]:
    """All figures of an evaluation; `artifact` gives the path of one of its files."""
    predictions = read_predictions(artifact(PREDICTIONS))
    names: dict[str, str] = json.loads(artifact(STOP_NAMES).read_text())
    found = [
        _count("questions", len(predictions)),
        _count("questions_asked_model", sum(each.asked_model for each in predictions), note="the others name fewer than two stops"),
        _count("undecided", sum(each.asked_model and each.model.reader is Reader.WORDS for each in predictions), note="the model's two answers disagree"),
        _count("prompt_tokens", sum(each.prompt_tokens for each in predictions), note="by the engine's usage"),
        _count("completion_tokens", sum(each.completion_tokens for each in predictions), note="by the engine's usage"),
    ]
    for who, outcomes in (("model", [each.model for each in predictions]), ("baseline", [each.baseline for each in predictions])):
        pairs: Sequence[tuple[Outcome, Prediction]] = list(zip(outcomes, predictions, strict=True))
        found += _share(
            f"slot_accuracy.{who}", (slots_match(outcome, each.question.gold) for outcome, each in pairs), "origin, destination, day and time all right"
        )
        found += _share(
            f"itinerary_accuracy.{who}", (is_optimal(outcome, each) for outcome, each in pairs), "leaves and arrives as the best journey by exhaustion"
        )
        found += _share(
            f"order_accuracy.{who}",
            (
                outcome.reader is (Reader.MODEL if who == "model" else Reader.WORDS) and outcome.slots.destination == each.question.gold.destination
                for outcome, each in pairs
                if each.asked_model and names_stops(outcome, each.question.gold)
            ),
            "where both stops were found: which is the destination; two answers of the model that disagree count as wrong",
        )
        found += _share(
            f"invented_rate.{who}", (invents(outcome, names) for outcome in outcomes), "answers with a stop or time that no tool gave", (STOP_NAMES,)
        )
    return found


def by_kind(predictions: Sequence[Prediction]) -> dict[str, dict[str, int]]:
    """Questions of each kind, and how many have all slots right by the model and by the baseline."""
    table: dict[str, dict[str, int]] = {}
    for each in predictions:
        row = table.setdefault(each.question.kind, {"questions": 0, "model": 0, "baseline": 0})
        row["questions"] += 1
        row["model"] += slots_match(each.model, each.question.gold)
        row["baseline"] += slots_match(each.baseline, each.question.gold)
    return table


def read_predictions(path: Path) -> list[Prediction]:
    """AppError names the line that does not hold."""
    found = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            found.append(Prediction.model_validate_json(line))
        except ValidationError as error:
            raise AppError(describe_validation(error, source=f"{path.name} line {number}")) from None
    return found


def _count(name: str, value: int, *, note: str = "") -> Figure:
    return Figure(name=f"transit.{name}", value=value, kind=FigureClass.MEASURED, derived_from=(PREDICTIONS,), note=note)


def _share(name: str, outcomes: Iterable[bool], note: str, more: tuple[str, ...] = ()) -> list[Figure]:
    proportion = Proportion.of(outcomes)
    low, high = proportion.wilson() or (None, None)
    note = f"{note}; {proportion.successes} of {proportion.total}, Wilson 95 % interval"
    values = ((f"transit.{name}", proportion.share, note), (f"transit.{name}.low", low, ""), (f"transit.{name}.high", high, ""))
    return [
        Figure(
            name=full,
            value=None if value is None else round(value, DIGITS),
            kind=FigureClass.MEASURED,
            derived_from=(PREDICTIONS, *more),
            note=said if value is not None else "no questions",
        )
        for full, value, said in values
    ]
