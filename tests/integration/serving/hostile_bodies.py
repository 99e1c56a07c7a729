"""Bodies that no honest client sends, and bodies with two readings, by name."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from hostile_requests import BAD, BODY, CHAT, CLOSE, GOOD_BODY, PASSED, UNAUTHORISED, Hostile, chunked, head, post

SECRET_FILE = "file:///etc/passwd"
METADATA = "http://169.254.169.254/latest/meta-data"


def _nested(depth: int, opening: str, closing: str) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


def _with(**fields: Any) -> bytes:
    return json.dumps({**BODY, **fields}).encode()


def _said(content: Any, **fields: Any) -> bytes:
    return _with(messages=[{"role": "user", "content": content, **fields}])


def _raw(field: str) -> bytes:
    return GOOD_BODY[:-1] + b"," + field.encode() + b"}"


def _grammar(schema: Any) -> bytes:
    return _with(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})


def _deep(depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        node = {"type": "object", "properties": {"a": node}}
    return node


BODIES: dict[str, bytes] = {
    "of nothing": b"",
    "of a space": b" ",
    "of null": b"null",
    "of true": b"true",
    "of a number": b"1",
    "of a text": b'"x"',
    "of an empty list": b"[]",
    "of an empty object": b"{}",
    "in a list": b"[" + GOOD_BODY + b"]",
    "twice": GOOD_BODY * 2,
    "and more": GOOD_BODY + b"x",
    "and a NUL": GOOD_BODY + b"\x00",
    "cut short": GOOD_BODY[:-1],
    "with a comma at its end": GOOD_BODY[:-1] + b",}",
    "with a comment": b"/* a */" + GOOD_BODY,
    "in single quotes": GOOD_BODY.replace(b'"', b"'"),
    "with a byte order mark": b"\xef\xbb\xbf" + GOOD_BODY,
    "in UTF-16": GOOD_BODY.decode().encode("utf-16"),
    "in UTF-32": GOOD_BODY.decode().encode("utf-32"),
    "as gzip": gzip.compress(GOOD_BODY),
    "as a pickle": b"\x80\x04}.",
    "as a form": b"model=m&messages=x",
    "as YAML": b"model: m\nmessages: [{role: user, content: a}]",
    "as XML": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "with a byte that is no UTF-8": GOOD_BODY.replace(b"Hello", b"\xff"),
    "with an overlong slash": GOOD_BODY.replace(b"Hello", b"\xc0\xaf"),
    "with a surrogate in UTF-8": GOOD_BODY.replace(b"Hello", b"\xed\xa0\x80"),
    "with half a pair": GOOD_BODY.replace(b"Hello", b"\\ud800"),
    "with a NUL in a text": GOOD_BODY.replace(b"Hello", b"\x00"),
    "with a line feed in a text": GOOD_BODY.replace(b"Hello", b"\n"),
    "with a wrong escape": GOOD_BODY.replace(b"Hello", b"\\x41"),
    "nested 100,000 lists deep": _nested(100_000, "[", "]"),
    "nested 40,000 objects deep": _nested(40_000, '{"a":', "}"),
    "with a deep field": _raw(f'"seed": {_nested(50_000, "[", "]").decode()}'),
    "with a deep message": _said([[[[["a"]]]]]),
    "with a number of 5,000 digits": _raw(f'"seed": {"9" * 5000}'),
    "with a number of 100,000 digits": _raw(f'"max_tokens": {"9" * 100_000}'),
    "with 1e400": _raw('"temperature": 1e400'),
    "with 1e999999999": _raw('"temperature": 1e999999999'),
    "with NaN": _raw('"temperature": NaN'),
    "with Infinity": _raw('"temperature": Infinity'),
    "with -Infinity": _raw('"temperature": -Infinity'),
    "with 1.0 tokens": _raw('"max_tokens": 1.0'),
    "with 1e3 tokens": _raw('"max_tokens": 1e3'),
    "with a number in hexadecimal": _raw('"max_tokens": 0x10'),
    "with a leading zero": _raw('"max_tokens": 010'),
    "with a plus": _raw('"max_tokens": +1'),
    "with tokens as a text": _with(max_tokens="5"),
    "with tokens as true": _with(max_tokens=True),
    "with no tokens": _with(max_tokens=0),
    "with negative tokens": _with(max_tokens=-1),
    "with a million tokens": _with(max_tokens=10**6),
    "with 2**63 tokens": _with(max_tokens=1 << 63),
    "with 2**64 tokens": _with(max_tokens=1 << 64),
    "with 1,000 answers": _with(n=1000),
    "with no answers": _with(n=0),
    "with a seed of 2**63": _with(seed=1 << 63),
    "with a temperature of 1e308": _with(temperature=1e308),
    "with a negative temperature": _with(temperature=-1),
    "with a penalty of 0": _with(repetition_penalty=0),
    "with 1,000 stops": _with(stop=["a"] * 1000),
    "with an endless stop": _with(stop="a" * 1000),
    "with 21 log probabilities": _with(logprobs=True, top_logprobs=21),
    "with all log probabilities": _with(logprobs=True, top_logprobs=-1),
    "with a bias for 301 tokens": _with(logit_bias={str(i): 1 for i in range(301)}),
    "with an endless bias": _with(logit_bias={"1": 1e308}),
    "with a bias for no token": _with(logit_bias={"../x": 1}),
    "with 257 messages": _with(messages=BODY["messages"] * 257),
    "without messages": _with(messages=[]),
    "with 200,001 characters": _said("a" * 200_001),
    "with a role nobody has": _with(messages=[{"role": "root", "content": "a"}]),
    "with a message that is a text": _with(messages=["a"]),
    "with a message of null": _with(messages=[None]),
    "without content": _with(messages=[{"role": "user"}]),
    "with a prompt beside its messages": _with(prompt="a"),
    "with a field of no name": _with(**{"": 1}),
    "with __proto__": _with(__proto__={"admin": True}),
    "with __class__": _with(__class__="a"),
    "with a field of 100,000 characters": _with(**{"a" * 100_000: 1}),
    "with 10,000 fields": _with(**{f"a{i}": 1 for i in range(10_000)}),
    "with a field in capitals": _with(MODEL="b"),
    "with a model that is a path": b'{"model": null}',
    "with a model of 129 characters": _with(model="m" * 129),
    "with a salt of another tenant": _with(cache_salt="a" * 32),
    "with an escaped salt": _raw('"cache\\u005fsalt": "a"'),
    "with a stream that is a text": _with(stream="true"),
    "with usage that is a text": _with(stream_options={"include_usage": "yes"}),
    "with an unknown option of the stream": _with(stream_options={"path": SECRET_FILE}),
    "with a repeated field that breaks a cap": _raw('"max_tokens": 1, "max_tokens": 1000000'),
    "with a schema of a regular expression": _grammar({"type": "string", "pattern": "(a+)+$"}),
    "with a schema of regular names": _grammar({"patternProperties": {"(a+)+$": {}}}),
    "with a hidden regular expression": _grammar({"items": [{"anyOf": [{"not": {"pattern": "a"}}]}]}),
    "with a schema from the network": _grammar({"$ref": METADATA}),
    "with a schema from a file": _grammar({"$defs": {"a": {"$ref": SECRET_FILE}}}),
    "with a schema of 10**9 items": _grammar({"type": "array", "minItems": 10**9}),
    "with a schema of 10**9 characters": _grammar({"maxLength": 10**9}),
    "with a schema of multiples": _grammar({"type": "integer", "multipleOf": 99999989}),
    "with a schema of so many of its names": _grammar({"properties": {f"a{number}": {} for number in range(100)}, "maxProperties": 50}),
    "with a schema of many names": _grammar({"properties": {f"a{number}": {} for number in range(900)}}),
    "with a schema of distinct items": _grammar({"type": "array", "uniqueItems": True}),
    "with a schema 100 levels deep": _grammar(_deep(100)),
    "with a schema of 20,000 bytes": _grammar({"enum": ["a" * 20_000]}),
    "with a schema that is a text": _grammar("a"),
    "with a grammar": _with(structured_outputs={"grammar": "root ::= root root"}),
    "with a regular expression": _with(structured_outputs={"regex": "(a+)+$"}),
    "with a structural tag": _with(response_format={"type": "structural_tag", "structures": [], "triggers": []}),
    "with 257 choices": _with(structured_outputs={"choice": ["a"] * 257}),
    "without a choice": _with(structured_outputs={"choice": []}),
    "with a format nobody has": _with(response_format={"type": "regex"}),
    "with 33 tools": _with(tools=[{"type": "function", "function": {"name": f"f{i}"}} for i in range(33)]),
    "with a tool named like a path": _with(tools=[{"type": "function", "function": {"name": "../../x"}}]),
    "with a tool of a regular expression": _with(tools=[{"type": "function", "function": {"name": "f", "parameters": {"pattern": "a"}}}]),
    "with a tool of the server's": _with(tools=[{"type": "mcp", "server_url": METADATA}]),
    "with a tool of code": _with(tools=[{"type": "code_interpreter"}]),
    "with a choice of no tool": _with(tool_choice="required"),
    "with arguments 1,000 levels deep": _with(
        messages=[{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "[" * 1000 + "]" * 1000}}]}]
    ),
    "with a name of 200 characters": _said("a", name="n" * 200),
    "with audio of an answer": _said("a", audio={"id": "1"}),
}


def bodies(key: str) -> Iterator[Hostile]:
    for name, body in BODIES.items():
        yield Hostile(f"a body {name}", post(key, body), BAD)
    too_long = _said("a" * 262_144)
    yield Hostile("a body of more than 256 KiB", post(key, too_long), frozenset({413}))
    yield Hostile(
        "a chunked body of more than 256 KiB",
        head("POST", CHAT, f"Authorization: Bearer {key}", "Transfer-Encoding: chunked") + chunked(too_long),
        frozenset({413, 0}),
    )
    yield Hostile(
        "a body said to have 10**15 bytes",
        head("POST", CHAT, f"Authorization: Bearer {key}", f"Content-Length: {10**15}") + GOOD_BODY,
        frozenset({0, 408, 413}),
    )
    yield Hostile("a gzip bomb", post(key, gzip.compress(b"0" * (64 << 20)), "Content-Encoding: gzip", CLOSE), BAD)
    yield Hostile("a body without a key", head("POST", CHAT, f"Content-Length: {len(GOOD_BODY)}", CLOSE) + GOOD_BODY, UNAUTHORISED)
    for prompt in ([1, 2, 3], [[1, 2]], [], [""], "", [None], {"a": 1}, 5, ["a"] * 5, {"prompt_embeds": "a"}):
        yield Hostile(f"a prompt of {prompt!r:.30}", post(key, json.dumps({"model": "m", "prompt": prompt}).encode(), path="/v1/completions"), BAD)


def repeated(key: str) -> Iterator[Hostile]:
    """Bodies with two readings: the gateway's has to be the engine's."""
    for name, body in {
        "a cap twice": _raw('"max_tokens": 1000000, "max_tokens": 1'),
        "a model twice": _raw('"model": "other"'),
        "messages twice": _raw('"messages": [{"role": "user", "content": "Other"}]'),
        "a content twice": b'{"model": "m", "messages": [{"role": "user", "content": "a", "content": "b"}]}',
        "an escaped name": _raw('"max\\u005ftokens": 1, "max_tokens": 2'),
        "options twice": _raw('"stream_options": {"include_usage": true, "include_usage": false}'),
        "a NUL as an escape": _said("a\0b"),
        "a number of many places": _raw(f'"temperature": 0.{"0" * 1000}1'),
        "a number that is nearly none": _raw('"temperature": 1e-400'),
        "space around it": b"\n\t " + GOOD_BODY + b"\r\n ",
    }.items():
        yield Hostile(f"a body with {name}", post(key, body), PASSED, reaches=1)
