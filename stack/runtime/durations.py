"""Lengths of time as people write them."""

import math
import re

from stack.runtime.errors import StackproofError

UNIT_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration_s(text: str, *, field: str) -> float:
    """Seconds from `500ms`, `2s`, `20m`; StackproofError names `field`."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h)", text.strip())
    seconds = float(found[1]) * UNIT_S[found[2]] if found else 0.0
    if not 0 < seconds < math.inf:
        raise StackproofError(f"field `{field}`: give a time above 0 with its unit, as in 500ms, 2s or 20m, got {text!r}")
    return seconds
