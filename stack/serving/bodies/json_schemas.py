"""JSON Schemas that clients send, for answers and for tools: what the engine's grammar compiler may be given (pure).

Refused are regular expressions, lengths of strings, references out of the document, huge repetitions and deep nesting.
"""

import json
from typing import Any

from stack.serving.bodies.base import at_most
from stack.serving.policy import Requests

REPEATS = frozenset({"minItems", "maxItems", "minProperties", "maxProperties"})
REPEAT_LIMIT = 1024
"""Grammars unroll repetitions, so their number is a size."""
_LENGTH = "the engine takes seconds for each length of a string: check it in the answer"
REFUSED_KEYWORDS = {
    "pattern": "regular expressions",
    "patternProperties": "regular expressions",
    # Measured with xgrammar 0.2.8 and 49,152 tokens: a schema of 1.3 KB with 32 lengths about 200 takes 177 s of a shared core.
    "minLength": _LENGTH,
    "maxLength": _LENGTH,
}
"""With the reason that is told."""
NAME_MAPS = frozenset({"properties", "$defs", "definitions"})
"""Keywords whose keys are names of the author's choice, not keywords."""


def check_schema(schema: dict[str, Any], caps: Requests, *, field: str) -> int:
    """Its bytes as compact JSON; ValueError naming `field` and what is wrong."""
    size = len(json.dumps(schema, separators=(",", ":")))
    at_most(f"{field}: its bytes", size, caps.schema_bytes)
    _check(schema, caps.schema_depth, f"field `{field}`", names=False)
    return size


def _check(node: Any, depth_left: int, where: str, *, names: bool) -> None:
    if depth_left < 0:
        raise ValueError(f"{where}: nested too deep")
    if isinstance(node, list):
        for each in node:
            _check(each, depth_left - 1, where, names=False)
    elif isinstance(node, dict):
        for key, value in node.items():
            if not names:
                _check_keyword(key, value, where)
            _check(value, depth_left - 1, where, names=not names and key in NAME_MAPS)


def _check_keyword(key: str, value: Any, where: str) -> None:
    if key in REFUSED_KEYWORDS:
        raise ValueError(f"{where}: keyword {key} is not accepted ({REFUSED_KEYWORDS[key]})")
    if key == "$ref" and not (isinstance(value, str) and value.startswith("#")):
        raise ValueError(f"{where}: $ref must stay inside the document")
    if key in REPEATS and not (type(value) is int and 0 <= value <= REPEAT_LIMIT):  # True is an int too
        raise ValueError(f"{where}: {key} must be a whole number between 0 and {REPEAT_LIMIT}")
