"""From the bytes of an answer to a vote (logic)."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stack.evidence import canonical_json
from stack.pipelines.labeling.requests import answer_schema
from stack.pipelines.labeling.spans import Quote, locate
from stack.pipelines.labeling.spec import Llm
from stack.pipelines.labeling.votes import MAX_VALUE, Vote

if TYPE_CHECKING:
    from jsonschema.protocols import Validator


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said, and what it cost by the server's own count."""

    text: str
    prompt_tokens: int
    completion_tokens: int


class UnreadableError(ValueError):
    """A 200 that holds no chat completion; the message is its class: not_json or malformed."""


def read_reply(body: bytes) -> Reply:
    """UnreadableError for anything but a chat completion with one choice and its token counts."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableError("not_json") from None
    try:
        message, usage = answer["choices"][0]["message"], answer["usage"]
        text = message["content"] or ""
        if not isinstance(text, str):
            raise TypeError
        return Reply(text, int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
    except (KeyError, IndexError, TypeError, ValueError):
        raise UnreadableError("malformed") from None


def reader(labeler: Llm, labels: tuple[str, ...]) -> Callable[[str, Reply], Vote]:
    """A function from a text and the reply about it to the vote.

    Errors: not_a_label; schema_violation (no JSON, or JSON that is not what was asked for); quote_not_found.
    """
    validator = None if labeler.output == "choice" else _validator(answer_schema(labeler, labels))

    def read(text: str, reply: Reply) -> Vote:
        label, error, value = _choice(reply.text, labels) if validator is None else _structured(labeler, labels, validator, text, reply.text)
        return Vote(label, error, reply.prompt_tokens, reply.completion_tokens, reply.text[:MAX_VALUE] if error else value)

    return read


Said = tuple[str | None, str | None, str | None]
"""Label, error and value."""


def _choice(answer: str, labels: tuple[str, ...]) -> Said:
    answer = answer.strip()
    return (answer, None, None) if answer in labels else (None, "not_a_label", None)


def _structured(labeler: Llm, labels: tuple[str, ...], validator: "Validator", text: str, answer: str) -> Said:
    try:
        said = json.loads(answer)
        value = canonical_json(said).decode()
    except (ValueError, TypeError, RecursionError):
        return None, "schema_violation", None
    if labeler.output == "spans":
        return _spans(said, labels, validator, text)
    label = said.get(labeler.label_field, "") if isinstance(said, dict) else ""
    if label is not None and label != "" and (not isinstance(label, str) or label not in labels):
        return None, "not_a_label", None
    if label == "" or not validator.is_valid(said):
        return None, "schema_violation", None
    return label, None, value


def _spans(said: Any, labels: tuple[str, ...], validator: "Validator", text: str) -> Said:
    if isinstance(said, list) and any(isinstance(each, dict) and isinstance(each.get("label"), str) and each["label"] not in labels for each in said):
        return None, "not_a_label", None
    if not validator.is_valid(said):
        return None, "schema_violation", None
    spans = locate(text, [Quote(each["quote"], each["label"], None if each.get("start") is None else int(each["start"])) for each in said])
    if spans is None:
        return None, "quote_not_found", None
    return None, None, canonical_json([asdict(span) for span in spans]).decode()


def _validator(schema: dict[str, Any]) -> "Validator":
    from jsonschema import Draft202012Validator  # slow to import, and choice labelers need none

    return Draft202012Validator(schema)
