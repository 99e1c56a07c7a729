"""The errors that a user can mend, told in one line."""

from pydantic import ValidationError

LONGEST_VALUE = 80
"""Characters of a wrong value that a message repeats."""


class StackproofError(Exception):
    """Bad usage, input or environment: the message names what is wrong and the mend.

    Each layer derives its own. The command line prints the message as one line and exits with
    `exit_status`; any other exception is a bug and keeps its traceback.
    """

    exit_status = 2


class CheckFailedError(StackproofError):
    """The thing that was checked did not hold: a verdict, not a mistake in usage."""

    exit_status = 1


def describe_validation(error: ValidationError, *, source: str) -> str:
    """One line for the first fault of a pydantic validation: source, field, mend, and how many more there are."""
    faults = error.errors(include_url=False)
    first = faults[0]
    field = ".".join(str(part) for part in first["loc"] if part != "") or "(document)"
    value = first.get("input")
    got = f", got {_short(value)}" if isinstance(value, str | int | float | bool) else ""
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{source}: field `{field}`: {first['msg'].removeprefix('Value error, ')}{got}{more}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
