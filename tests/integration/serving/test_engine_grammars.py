"""What the gateway lets through to the engine's compiler of grammars costs seconds at most: the real compiler, the CI model's own tokens."""

import json
import subprocess
import sys
from typing import Any

import pytest

from stack.serving.bodies.json_schemas import NAMES_LIMIT, REPEAT_LIMIT
from stack.serving.models import CI_MODEL
from stack.serving.policy import load_policy
from stack.serving.requests import check_body
from stack.serving.weights import model_dir

CAPS = load_policy().requests
WAIT_S = 120
"""All together they take some 5 s of a core; any one of those that passed before the list was closed took longer, or all memory."""
COMPILE = """
import json, sys
import xgrammar
tokens = json.load(open(sys.argv[1]))["model"]["vocab"]
named = [name for name, _ in sorted(tokens.items(), key=lambda pair: pair[1])]
info = xgrammar.TokenizerInfo(named, vocab_type=xgrammar.VocabType.BYTE_LEVEL, vocab_size=len(named), stop_token_ids=[0])
for schema in json.load(sys.stdin):
    xgrammar.GrammarCompiler(info, max_threads=1).compile_json_schema(json.dumps(schema))
"""


def optional(names: int, prefix: str = "") -> dict[str, Any]:
    return {"type": "object", "properties": {f"{prefix}{number}": {} for number in range(names)}}


def listed(items: Any) -> dict[str, Any]:
    return {"type": "array", "minItems": REPEAT_LIMIT - 1, "maxItems": REPEAT_LIMIT, "items": items}


LARGE = {
    "optional properties": {"type": "object", "properties": {f"k{number}": optional(NAMES_LIMIT, str(number)) for number in range(12)}},
    "nested arrays": listed(listed(listed(listed(optional(NAMES_LIMIT))))),
    "many arrays": {"type": "object", "properties": {f"a{number}": listed({"type": "integer"}) for number in range(NAMES_LIMIT)}},
    "long alternatives": {"enum": ["x" * 900 + str(number) for number in range(17)]},
    "many alternatives": {"enum": [str(number) for number in range(2400)]},
    "ranges": {
        "type": "object",
        "properties": {f"a{number}": {"type": "number", "minimum": -1234567.8912345 + number, "maximum": 98765432.1 + number} for number in range(NAMES_LIMIT)},
    },
    "definitions that use each other": {
        "$defs": {**{f"d{n}": {"properties": {"a": {"$ref": f"#/$defs/d{n + 1}"}, "b": {"$ref": f"#/$defs/d{n + 1}"}}} for n in range(40)}, "d40": {}},
        "$ref": "#/$defs/d0",
    },
    "formats": {"type": "object", "properties": {f"a{number}": {"type": "string", "format": "uri"} for number in range(NAMES_LIMIT)}},
}


@pytest.mark.slow
def test_the_largest_schemas_that_pass_are_compiled_while_one_waits() -> None:
    pytest.importorskip("xgrammar", reason="the engine is not installed")
    for schema in LARGE.values():
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        check_body("chat", json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], "response_format": form}).encode(), CAPS)
    tokens = model_dir(CI_MODEL) / "tokenizer.json"
    subprocess.run([sys.executable, "-c", COMPILE, str(tokens)], input=json.dumps([*LARGE.values()]), text=True, check=True, timeout=WAIT_S)
