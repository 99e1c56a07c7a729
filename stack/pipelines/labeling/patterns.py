"""Regular expressions from a pipeline file, compiled only when they cannot easily hang a worker (logic)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from re import _constants, _parser  # type: ignore[attr-defined]  # the only parse tree there is
from typing import Any

MAX_PATTERN = 1000
MANY = 10
"""A part repeated more often than this counts as repeated without end."""

REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)


@lru_cache(maxsize=4096)
def compiled(pattern: str, *, ignore_case: bool) -> re.Pattern[str]:
    """ValueError that says why it may not be used: too long, no regular expression, or a repeat within a repeat, as in (a+)+.

    Python's engine tries every way to divide a text between such repeats, which takes time exponential in its length.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"longer than {MAX_PATTERN} characters")
    try:
        tree = _parser.parse(pattern)
        found = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError) as fault:
        raise ValueError(f"not a regular expression: {fault}") from None
    if _repeat_within_repeat(tree, inside=False):
        raise ValueError("has a repeat within a repeat, like (a+)+, which can take for ever: write it without one")
    return found


def _repeat_within_repeat(tree: Iterable[Any], *, inside: bool) -> bool:
    for operation, argument in tree:
        repeats = operation in REPEATS and argument[1] > MANY
        if repeats and inside:
            return True
        if any(_repeat_within_repeat(part, inside=inside or repeats) for part in _parts(argument)):
            return True
    return False


def _parts(argument: Any) -> Iterable[Any]:
    """The sub-patterns that an operation holds, however deep its argument keeps them."""
    if isinstance(argument, _parser.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for part in argument:
            yield from _parts(part)
