"""JSON Schemas that clients send, for answers and for tools: what the engine's grammar compiler may be given (pure).

A closed list of keywords, and no more than they need: the compiler works on one core for all clients of an engine. Measured with xgrammar 0.2.8
and 49,152 tokens, the largest schemas that pass take 1 to 2 s of it. What xgrammar cannot do vLLM would hand to another compiler, whose cost
grows with the numbers in a schema (`multipleOf`: 99999989 takes all memory); the engines here are started without it.
"""

import json
from typing import Any

from stack.serving.bodies.base import MAX_NAME, at_most
from stack.serving.policy import Requests

REPEATS = frozenset({"minItems", "maxItems"})
REPEAT_LIMIT = 1024
"""Grammars unroll repetitions, so their number is a size."""
NAME_MAPS = frozenset({"properties", "$defs", "definitions"})
"""Keywords whose keys are names of the author's choice, not keywords."""
NAMES_LIMIT = 128
"""In one of them: time grows with the square of the properties that may be left out (200: 0.15 s, 900: 4.2 s)."""
DATA = frozenset({"const", "default", "discriminator", "enum", "example", "examples"})
"""Keywords whose value is data or a note, in which no key is a keyword."""
COMBINED = frozenset({"additionalProperties", "allOf", "anyOf", "items", "oneOf", "prefixItems"})
PLAIN = frozenset({"exclusiveMaximum", "exclusiveMinimum", "format", "maximum", "minimum", "nullable", "required", "type"})
NOTES = frozenset({"$comment", "$id", "$schema", "deprecated", "description", "readOnly", "strict", "title", "writeOnly"})
ACCEPTED = NAME_MAPS | DATA | COMBINED | PLAIN | NOTES | REPEATS | {"$ref"}
_REGEX, _UNROLLED = "regular expressions", "the engine takes seconds to minutes for it: check it in the answer"
WHY_NOT = {
    "pattern": _REGEX,
    "patternProperties": _REGEX,
    # A schema of 1.3 KB with 32 lengths about 200 takes 177 s.
    "minLength": _UNROLLED,
    "maxLength": _UNROLLED,
    # 200 names with bounds of their number, 2 KB, take over 40 s.
    "minProperties": _UNROLLED,
    "maxProperties": _UNROLLED,
    "multipleOf": _UNROLLED,
}
"""Reasons that are told, where there is more to say than that a keyword is none of those accepted."""


def check_schema(schema: dict[str, Any], caps: Requests, *, field: str) -> int:
    """Its bytes as compact JSON; ValueError naming `field` and what is wrong."""
    size = json_bytes(schema)
    at_most(f"{field}: its bytes", size, caps.schema_bytes)
    _check(schema, caps.schema_depth, f"field `{field}`")
    return size


def json_bytes(value: Any) -> int:
    """As compact JSON."""
    return len(json.dumps(value, separators=(",", ":")))


def deeper_than(depth: int, node: Any) -> bool:
    """Whether a JSON value is nested deeper than so many levels."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return depth < 0 or any(deeper_than(depth - 1, each) for each in inner)


def _check(node: Any, depth_left: int, where: str) -> None:
    if depth_left < 0:
        raise ValueError(f"{where}: nested too deep")
    if isinstance(node, list):
        for each in node:
            _check(each, depth_left - 1, where)
    elif isinstance(node, dict):
        for key, value in node.items():
            _check_keyword(key, value, where)
            if key in DATA:
                if deeper_than(depth_left - 1, value):
                    raise ValueError(f"{where}: nested too deep")
            elif key in NAME_MAPS and isinstance(value, dict):
                _check_names(key, value, depth_left - 1, where)
            else:
                _check(value, depth_left - 1, where)


def _check_names(keyword: str, named: dict[str, Any], depth_left: int, where: str) -> None:
    if depth_left < 0:
        raise ValueError(f"{where}: nested too deep")
    if len(named) > NAMES_LIMIT:
        raise ValueError(f"{where}: {keyword} must be at most {NAMES_LIMIT}, got {len(named)}")
    for each in named.values():
        _check(each, depth_left - 1, where)


def _check_keyword(key: str, value: Any, where: str) -> None:
    if key not in ACCEPTED:
        raise ValueError(f"{where}: keyword {key[:MAX_NAME]} is not accepted" + (f" ({WHY_NOT[key]})" if key in WHY_NOT else ""))
    if key == "$ref" and not (isinstance(value, str) and value.startswith("#")):
        raise ValueError(f"{where}: $ref must stay inside the document")
    if key in REPEATS and not (type(value) is int and 0 <= value <= REPEAT_LIMIT):  # True is an int too
        raise ValueError(f"{where}: {key} must be a whole number between 0 and {REPEAT_LIMIT}")
