"""The errors that a user can mend, told in one line."""

import difflib

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stack.runtime.schema_walk import Location, fields_of

LONGEST_VALUE = 80
"""Characters of a wrong value that a message repeats."""
LONGEST_FIELD = 200
SLIPS = 100
"""Faults among which a misspelt field is looked for; a file with more is of another kind."""
UNKNOWN, MISSING = "extra_forbidden", "missing"
NUMBER_WANTED = ("int_type", "float_type", "bool_type")
"""Pydantic's names of the faults of a field that takes nothing but a number, or yes and no."""


class StackproofError(Exception):
    """Bad usage, input or environment: the message names what is wrong and the mend.

    Each layer derives its own. The command line prints the message as one line and exits with
    `exit_status`; any other exception is a bug and keeps its traceback.
    """

    exit_status = 2


class CheckFailedError(StackproofError):
    """The thing that was checked did not hold: a verdict, not a mistake in usage."""

    exit_status = 1


def describe_validation(error: ValidationError, *, source: str, model: type[BaseModel] | None = None) -> str:
    """One line for a fault of a pydantic validation: source, field, mend, and how many other fields have one.

    With the `model` that was asked for, the field is free of pydantic's own names, and an unknown one is told what is known there.
    """
    faults = error.errors(include_url=False)
    places = [_place(fault, model) for fault in faults]
    told, explained = _clearest(faults, places, model)
    field = _cut(".".join(map(str, places[told])) or "(document)", LONGEST_FIELD)
    # What is around a fault (another branch, a list that is too short without the wrong one) is not a fault of its own.
    around = {place[:depth] for place in places for depth in range(len(place))}
    others = set(places) - around - explained
    more = f" (and {len(others)} more)" if others else ""
    return f"{source}: field `{field}`: {_mend(faults[told], model)}{more}"


def _clearest(faults: list[ErrorDetails], places: list[Location], model: type[BaseModel] | None) -> tuple[int, set[Location]]:
    """Which fault to tell, and all places that are mended with it."""
    missing = {place for place, fault in zip(places, faults, strict=True) if fault["type"] == MISSING}
    for index, (place, fault) in enumerate(zip(places[:SLIPS], faults[:SLIPS], strict=True)):
        if missing and fault["type"] == UNKNOWN and (meant := _near(*_unknown(fault, model))) and (*place[:-1], meant) in missing:
            return index, {place, (*place[:-1], meant)}  # one slip of the pen makes both faults
    # Of a union each branch has its fault: the one that came furthest is of the branch that was meant.
    inside = [index for index, place in enumerate(places) if place[: len(places[0])] == places[0]]
    told = max(inside, key=lambda index: len(places[index]))
    return told, {places[told]}


def _place(fault: ErrorDetails, model: type[BaseModel] | None) -> Location:
    location = fault["loc"]
    if fault["type"] == UNKNOWN:
        return (*fields_of(location[:-1], model)[0], location[-1])
    return fields_of(location, model)[0]


def _mend(fault: ErrorDetails, model: type[BaseModel] | None) -> str:
    if fault["type"] == UNKNOWN:
        name, known = _unknown(fault, model)
        near = _near(name, known)
        mend = f"did you mean `{near}`?" if near else f"known are {', '.join(known)}" if known else "take it out, or correct its name"
        return f"is not known here: {mend}"
    return f"{fault['msg'].removeprefix('Value error, ')}{_got(fault)}"


def _unknown(fault: ErrorDetails, model: type[BaseModel] | None) -> tuple[str, tuple[str, ...]]:
    """The name that is not known, and those that are known there."""
    return str(fault["loc"][-1]), fields_of(fault["loc"][:-1], model)[1]


def _near(name: str, known: tuple[str, ...]) -> str | None:
    # A name of any length would be compared letter by letter.
    return next(iter(difflib.get_close_matches(name[:LONGEST_VALUE], known, n=1)), None)


def _got(fault: ErrorDetails) -> str:
    value = fault["input"]
    if not isinstance(value, str | int | float | bool):
        return ""
    # Quotes alone are easily overlooked.
    text = "the text " if isinstance(value, str) and fault["type"] in NUMBER_WANTED else ""
    return f", got {text}{_short(value)}"


def _short(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > LONGEST_VALUE * 4:  # thousands of digits are more than Python writes out
        return f"a number of {value.bit_length()} bits"
    return _cut(repr(value), LONGEST_VALUE)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."
