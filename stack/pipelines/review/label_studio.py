"""Label Studio's files: tasks with predictions, the labeling interface, and its JSON export with annotations (pure).

Our record_id, the text's hash and the score travel in `data`, which the tool gives back as it was; its own ids mean nothing here.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from stack.pipelines.review.decisions import MAX_NOTE
from stack.pipelines.review.queue import Item
from stack.pipelines.review.told import Told, moment, number, word

MODEL_VERSION = "stackproof"
CHOICE, NOTE, TEXT = "label", "note", "text"


def interface(labels: Sequence[str]) -> str:
    """The labeling interface (XML): the text, one choice with hotkeys, a note."""
    view = ET.Element("View")
    ET.SubElement(view, "Text", name=TEXT, value=f"${TEXT}")
    choices = ET.SubElement(view, "Choices", name=CHOICE, toName=TEXT, choice="single", showInline="true", required="true")
    for place, label in enumerate(labels, start=1):
        key = {"hotkey": str(place % 10)} if place <= 10 else {}
        ET.SubElement(choices, "Choice", {"value": label, **key})
    ET.SubElement(view, "TextArea", name=NOTE, toName=TEXT, placeholder="Note", maxSubmissions="1")
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def task(item: Item) -> dict[str, Any]:
    """One task to import there; the prediction is left out where the labelers gave no label."""
    data = {
        TEXT: item.text,
        "record_id": item.record_id,
        "text_sha256": item.text_sha256,
        "language": item.language,
        "source": item.source,
        "score": item.probability,
    }
    if item.label is None:
        return {"data": data, "predictions": []}
    result = {"id": item.record_id[:10], "from_name": CHOICE, "to_name": TEXT, "type": "choices", "value": {"choices": [item.label]}}
    prediction: dict[str, Any] = {"model_version": MODEL_VERSION, "result": [result]}
    if item.probability is not None:
        prediction["score"] = item.probability
    return {"data": data, "predictions": [prediction]}


def read(row: dict[str, Any], place: int) -> Iterator[Told]:
    """The annotations of one exported task; one Told with a fault for each that is no decision."""
    data = row.get("data")
    if not isinstance(data, dict) or not isinstance(row.get("annotations"), list):
        yield Told(f"task {place}", fault="not_a_task")
        return
    record_id = word(data.get("record_id"))
    for index, annotation in enumerate(row["annotations"]):
        where = f"task {row.get('id', place)}, annotation {index}" + (f", record_id {record_id}" if record_id else "")
        if record_id is None:
            yield Told(where, fault="no_record_id")
        elif not isinstance(annotation, dict):
            yield Told(where, fault="not_an_annotation")
        else:
            yield _annotation(annotation, where, record_id, data, row)


def _annotation(annotation: dict[str, Any], where: str, record_id: str, data: dict[str, Any], row: dict[str, Any]) -> Told:
    if annotation.get("was_cancelled"):
        return Told(where, fault="cancelled")
    who = annotation.get("completed_by")
    who = who.get("id", who.get("email")) if isinstance(who, dict) else who
    if who is None:
        return Told(where, fault="no_reviewer")
    values = [each for each in annotation.get("result") or () if isinstance(each, dict)]
    choices = [choice for each in values if each.get("from_name") == CHOICE for choice in _value(each, "choices")]
    if len(choices) != 1:
        return Told(where, fault="several_labels" if choices else "empty_result")
    notes = [text for each in values if each.get("from_name") == NOTE for text in _value(each, "text")]
    return Told(
        where,
        record_id=record_id,
        text_sha256=word(data.get("text_sha256")),
        reviewer=f"label-studio:{who}"[:100],
        label=choices[0],
        note="\n".join(notes)[:MAX_NOTE],
        at=moment(annotation.get("updated_at")) or moment(annotation.get("created_at")),
        score=_score(annotation, row),
    )


def _value(result: dict[str, Any], name: str) -> list[str]:
    found = (result.get("value") or {}).get(name)
    found = [found] if isinstance(found, str) else found
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _score(annotation: dict[str, Any], row: dict[str, Any]) -> float | None:
    """Of the prediction that the annotation began from, else of the task's own from us."""
    begun = annotation.get("prediction")
    listed = row.get("predictions") or ()
    for each in (begun, *listed):
        if isinstance(each, dict) and each.get("model_version", MODEL_VERSION) == MODEL_VERSION and (score := number(each.get("score"))) is not None:
            return score
    return None
