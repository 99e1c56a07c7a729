"""Kubernetes' resource quantities (logic)."""

import re
from decimal import Decimal

SUFFIXES = {
    **{letter + "i": Decimal(2) ** (10 * power) for power, letter in enumerate("KMGTPE", start=1)},
    **{letter: Decimal(10) ** (3 * power) for power, letter in enumerate("kMGTPE", start=1)},
    **{letter: Decimal(10) ** (-3 * power) for power, letter in enumerate("mun", start=1)},
    "": Decimal(1),
}
# Digits are bounded, and so is the exponent: a label or a status is a stranger's text.
FORM = re.compile(r"(\+?[0-9]{1,30}(?:\.[0-9]{0,30})?|\+?\.[0-9]{1,30})(?:([eE][+-]?[0-9]{1,2})|([KMGTPE]i|[kMGTPEmun]?))", re.ASCII)


def parse_quantity(text: str) -> Decimal | None:
    """`500m`, `64Gi`, `1e3` as a number in the resource's own unit (cores, bytes, pieces); None when it is no quantity or is negative."""
    match = FORM.fullmatch(text)
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    return Decimal(number + exponent) if exponent else Decimal(number) * SUFFIXES[suffix or ""]


def whole(text: str | None) -> int | None:
    """The quantity as a whole number, rounded down; None when there is none."""
    found = None if text is None else parse_quantity(text)
    return None if found is None else int(found)
