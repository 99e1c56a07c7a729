"""The request that asks a model about one text, and the key under which its answer is kept (logic)."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from stack.evidence import canonical_json
from stack.pipelines.labeling.spans import span_schema
from stack.pipelines.labeling.spec import TEXT_FIELD, Llm


@dataclass(frozen=True, slots=True)
class Question:
    """A text to be asked about. `key` is the SHA-256 of all that decides the answer; the server's address is not in it."""

    key: str
    text: str


def question(labeler: Llm, text: str, labels: tuple[str, ...], *, model: str) -> Question:
    """`model` is the run's, used when the labeler names none."""
    return Question(hashlib.sha256(canonical_json(_body(labeler, text, labels, model))).hexdigest(), text)


def encoded(labeler: Llm, text: str, labels: tuple[str, ...], *, model: str) -> bytes:
    """The body of POST /v1/chat/completions. Made when it is sent: a large shard's bodies together would fill the memory."""
    return json.dumps(_body(labeler, text, labels, model), ensure_ascii=False, separators=(",", ":")).encode()


def _body(labeler: Llm, text: str, labels: tuple[str, ...], model: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": labeler.model or model,
        "messages": messages(labeler, text),
        "max_tokens": labeler.max_tokens,
        "temperature": labeler.temperature,
        "seed": labeler.seed,
    }
    if labeler.output == "choice":
        body["structured_outputs"] = {"choice": list(labels)}
    else:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": answer_schema(labeler, labels)}}
    return body


def messages(labeler: Llm, text: str) -> list[dict[str, str]]:
    """The chat: system, solved examples as turns, then the record."""
    chat = [{"role": "system", "content": labeler.system}] if labeler.system else []
    for example in labeler.examples:
        chat += [{"role": "user", "content": labeler.prompt.replace(TEXT_FIELD, example.text)}, {"role": "assistant", "content": example.label}]
    return [*chat, {"role": "user", "content": labeler.prompt.replace(TEXT_FIELD, text)}]


def answer_schema(labeler: Llm, labels: tuple[str, ...]) -> dict[str, Any]:
    """What the engine holds a json or spans answer to: for json the labeler's own schema, its label field narrowed to the labels."""
    if labeler.output == "spans":
        return span_schema(labels)
    schema = dict(labeler.json_schema or {})
    properties = schema.get("properties")
    field = properties.get(labeler.label_field) if isinstance(properties, dict) else None
    if isinstance(properties, dict) and isinstance(field, dict) and set(field) <= {"type", "description", "title"}:
        null = [None] if "null" in (field.get("type") or []) else []
        schema["properties"] = {**properties, str(labeler.label_field): {**field, "enum": [*labels, *null]}}
    return schema
