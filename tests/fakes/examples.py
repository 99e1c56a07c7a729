"""How many examples a property is tried with."""

from hypothesis import settings

FULL = 100


def examples(number: int) -> int:
    """`number` of them in a full run, and the same share of it as the loaded profile has of `FULL` in a quick one."""
    return max(1, number * settings().max_examples // FULL)
