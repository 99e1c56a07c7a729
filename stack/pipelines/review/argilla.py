"""Argilla 2's files: records as `dataset.records.to_json` writes them, and the settings as `Settings.to_json` does (pure)."""

from collections.abc import Iterator, Sequence
from typing import Any

from stack.pipelines.review.decisions import MAX_NOTE
from stack.pipelines.review.queue import Item
from stack.pipelines.review.told import Told, number, word

AGENT = "stackproof"
QUESTION, NOTE, TEXT = "label", "note", "text"


def settings(labels: Sequence[str]) -> dict[str, Any]:
    """The dataset's settings, for `Settings.from_json`."""
    options = [{"value": label, "text": label} for label in labels]
    return {
        "guidelines": None,
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "fields": [{"name": TEXT, "title": "Text", "required": True, "settings": {"type": "text", "use_markdown": False}}],
        "questions": [
            {"name": QUESTION, "title": "Label", "required": True, "settings": {"type": "label_selection", "options": options, "visible_options": None}},
            {"name": NOTE, "title": "Note", "required": False, "settings": {"type": "text", "use_markdown": False}},
        ],
        "metadata": [],
        "vectors": [],
        "mapping": None,
    }


def record(item: Item) -> dict[str, Any]:
    """One record for `dataset.records.from_json`; no suggestion where the labelers gave no label."""
    metadata: dict[str, Any] = {"record_id": item.record_id, "text_sha256": item.text_sha256, "language": item.language, "source": item.source}
    if item.probability is not None:
        metadata["score"] = item.probability
    suggestion = {"value": item.label, "score": item.probability, "agent": AGENT}
    return {
        "id": item.record_id,
        "fields": {TEXT: item.text},
        "metadata": metadata,
        "suggestions": {} if item.label is None else {QUESTION: suggestion},
        "responses": {},
        "vectors": {},
        "status": "pending",
        "_server_id": None,
    }


def read(row: dict[str, Any], place: int) -> Iterator[Told]:
    """The responses of one record, per user; one Told with a fault for each that is no decision."""
    metadata = row.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    responses = row.get("responses")
    if not isinstance(responses, dict) or not isinstance(row.get("fields"), dict):
        yield Told(f"record {place}", fault="not_a_record")
        return
    record_id = word(metadata.get("record_id")) or word(row.get("id"))
    notes = {each.get("user_id"): word(each.get("value")) or "" for each in _answers(responses, NOTE)}
    suggestion = (row.get("suggestions") or {}).get(QUESTION) or {}
    score = number(suggestion.get("score")) if suggestion.get("agent") == AGENT else None
    for index, answer in enumerate(_answers(responses, QUESTION)):
        where = f"record {place}, response {index}" + (f", record_id {record_id}" if record_id else "")
        who = answer.get("user_id")
        fault = _fault(answer, record_id)
        if fault is not None:
            yield Told(where, fault=fault)
            continue
        yield Told(
            where,
            record_id=record_id or "",
            text_sha256=word(metadata.get("text_sha256")),
            reviewer=f"argilla:{who}"[:100],
            label=word(answer.get("value")),
            note=notes.get(who, "")[:MAX_NOTE],
            score=score,
        )


def _answers(responses: dict[str, Any], question: str) -> list[dict[str, Any]]:
    return [each for each in responses.get(question) or () if isinstance(each, dict)]


def _fault(answer: dict[str, Any], record_id: str | None) -> str | None:
    if record_id is None:
        return "no_record_id"
    if answer.get("status") not in {None, "submitted"}:
        return "not_submitted"
    if answer.get("user_id") in {None, "None"}:
        return "no_reviewer"
    return None if word(answer.get("value")) else "empty_result"
