"""Label Studio's and Argilla's files, out and back."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from xml.etree import ElementTree as ET

import pytest
from review_kit import LABELS, write_dataset

from stack.pipelines.errors import PipelineError
from stack.pipelines.review import export_reviews, import_reviews, people_votes, read_decisions
from stack.pipelines.review.log import open_log

REASON = "opt-in: pip install label-studio-sdk==2.1.2 argilla==2.8.0 into an environment of its own (900 MB) and run this file there"


def exported(out: Path, to: Any) -> list[dict[str, Any]]:
    [file, *_] = export_reviews(out, to, out / "export.json")
    rows: list[dict[str, Any]] = json.loads(file.read_text())
    return rows


def annotated(task: dict[str, Any], label: str | None, *, who: Any = 7, note: str = "", **more: Any) -> dict[str, Any]:
    """The task as Label Studio's JSON export gives it back."""
    result: list[dict[str, Any]] = []
    if label is not None:
        result.append({"id": "r1", "from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}, "origin": "manual"})
    if note:
        result.append({"id": "r2", "from_name": "note", "to_name": "text", "type": "textarea", "value": {"text": [note]}, "origin": "manual"})
    [prediction] = task["predictions"] or [{}]
    annotation = {
        "id": 3,
        "completed_by": who,
        "was_cancelled": False,
        "ground_truth": False,
        "result": result,
        "created_at": "2026-11-24T10:00:00.000000Z",
        "updated_at": "2026-11-24T10:00:05.000000Z",
        "prediction": {"id": 1, **prediction},
        **more,
    }
    return {"id": 11, "data": task["data"], "annotations": [annotation], "predictions": [5], "drafts": [], "project": 1}


def put(out: Path, rows: object) -> Path:
    file = out / "back.json"
    file.write_text(json.dumps(rows))
    return file


def by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {(row.get("data") or row["metadata"])["record_id"]: row for row in rows}


def test_label_studio_tasks_carry_id_text_hash_and_score_most_in_need_first(tmp_path: Path) -> None:
    tasks = exported(write_dataset(tmp_path), "label-studio")
    assert [task["data"]["record_id"] for task in tasks] == ["e5", "b2", "d4", "c3", "a1"]
    assert tasks[0]["predictions"] == []
    assert tasks[1]["data"]["score"] == tasks[1]["predictions"][0]["score"] == 0.41
    view = ET.parse(tmp_path / "export.xml").getroot()
    assert tuple(choice.get("value") for choice in view.iter("Choice")) == LABELS


def test_label_studio_annotations_come_back_once_with_note_time_and_reviewer(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    tasks = by_id(exported(out, "label-studio"))
    file = put(out, [annotated(tasks["b2"], "neutral", note="both"), annotated(tasks["a1"], "positive", who={"id": 9, "email": "x@example.org"})])
    first, second = import_reviews(out, "label-studio", file), import_reviews(out, "label-studio", file)
    assert (first.added, first.unchanged, first.faults) == (2, 0, {})
    assert (second.added, second.unchanged) == (0, 2)
    one, two = read_decisions(out / "reviews.jsonl")
    assert (one.reviewer, one.label, one.note, one.at.isoformat()) == ("label-studio:7", "neutral", "both", "2026-11-24T10:00:05+00:00")
    assert two.reviewer == "label-studio:9"
    assert people_votes(out / "reviews.jsonl") == {"b2": "neutral", "a1": "positive"}


def test_a_changed_annotation_replaces_the_earlier_one(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    task = by_id(exported(out, "label-studio"))["b2"]
    import_reviews(out, "label-studio", put(out, [annotated(task, "neutral")]))
    assert import_reviews(out, "label-studio", put(out, [annotated(task, "positive")])).added == 1
    assert people_votes(out / "reviews.jsonl") == {"b2": "positive"}


def test_of_two_annotations_of_one_reviewer_the_later_counts(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    task = by_id(exported(out, "label-studio"))["b2"]
    late, early = annotated(task, "positive", updated_at="2026-11-25T00:00:00Z"), annotated(task, "negative")
    late["annotations"] += early["annotations"]
    assert import_reviews(out, "label-studio", put(out, [late])).added == 1
    assert people_votes(out / "reviews.jsonl") == {"b2": "positive"}


def test_what_is_no_decision_is_counted_and_named(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    tasks = by_id(exported(out, "label-studio"))
    changed = json.loads(json.dumps(tasks["c3"]))
    changed["data"]["text_sha256"] = "0" * 64
    alien = {"data": {"text": "x", "record_id": "zz"}, "predictions": []}
    nameless = {"data": {"text": "x"}, "predictions": []}
    rescored = json.loads(json.dumps(tasks["d4"]))
    rescored["predictions"][0]["score"] = 0.9
    rows = [
        annotated(tasks["a1"], "positive", was_cancelled=True),
        annotated(tasks["b2"], None),
        annotated(tasks["b2"], "furious"),
        annotated(changed, "neutral"),
        annotated(alien, "neutral"),
        annotated(nameless, "neutral"),
        annotated(tasks["b2"], "neutral", who=None),
        annotated(rescored, "negative"),
        {"text": "x", "label": "neutral"},
    ]
    done = import_reviews(out, "label-studio", put(out, rows))
    assert done.added == 1
    assert done.faults == dict.fromkeys(
        ("cancelled", "empty_result", "unknown_label", "text_changed", "unknown_record", "no_record_id", "no_reviewer", "score_changed", "not_a_task"), 1
    )
    assert "record_id zz" in done.examples["unknown_record"][0]


@pytest.mark.parametrize(("content", "fault"), [("{", "is not JSON"), ('{"a": 1}', "is not a list of objects"), ("[1]", "is not a list of objects")])
def test_a_file_of_another_shape_is_refused_and_nothing_is_written(tmp_path: Path, content: str, fault: str) -> None:
    out = write_dataset(tmp_path)
    (out / "bad.json").write_text(content)
    with pytest.raises(PipelineError, match=fault):
        import_reviews(out, "label-studio", out / "bad.json")
    assert not (out / "reviews.jsonl").exists()


def test_an_import_while_the_page_is_served_is_refused(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    with open_log(out), pytest.raises(PipelineError, match="open in another review or import"):
        import_reviews(out, "argilla", put(out, []))


def answered(record: dict[str, Any], label: str | None, user: str = "3fa85f64-5717-4562-b3fc-2c963f66afa6") -> dict[str, Any]:
    """The record as Argilla's `to_json` gives it back."""
    responses = {"label": [{"value": label, "user_id": user}], "note": [{"value": "seen", "user_id": user}]}
    return {**record, "responses": responses, "status": "completed", "_server_id": "1"}


def test_argilla_responses_come_back_once(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    records = by_id(exported(out, "argilla"))
    assert records["b2"]["suggestions"]["label"] == {"value": "negative", "score": 0.41, "agent": "stackproof"}
    assert records["e5"]["suggestions"] == {}
    file = put(out, [answered(records["b2"], "neutral"), answered(records["a1"], None), answered(records["c3"], "furious")])
    done = import_reviews(out, "argilla", file)
    assert (done.added, done.faults) == (1, {"empty_result": 1, "unknown_label": 1})
    assert import_reviews(out, "argilla", file).unchanged == 1
    [decision] = read_decisions(out / "reviews.jsonl")
    assert (decision.reviewer, decision.note) == ("argilla:3fa85f64-5717-4562-b3fc-2c963f66afa6", "seen")


def test_jsonl_has_every_vote_and_what_the_people_said(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    task = by_id(exported(out, "label-studio"))["b2"]
    import_reviews(out, "label-studio", put(out, [annotated(task, "neutral")]))
    [file] = export_reviews(out, "jsonl", out / "all.jsonl")
    rows = {row["record_id"]: row for row in map(json.loads, file.read_text().splitlines())}
    assert len(rows) == 5
    assert rows["b2"]["people"] == {"label": "neutral", "by": ["label-studio:7"], "agreement": 1.0, "settled": False}
    assert rows["b2"]["labelers"] == {"keywords": "positive", "llm": "negative"}
    assert rows["a1"]["people"] is None


def test_label_studios_own_sdk_takes_the_interface_the_tasks_and_the_annotations(tmp_path: Path) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason=REASON)
    tasks = exported(write_dataset(tmp_path), "label-studio")
    checked = interface.LabelInterface((tmp_path / "export.xml").read_text())
    checked.validate()
    for task in tasks:
        # Its validate_task calls validate_annotation without an argument (2.1.2), so annotations are checked one by one.
        assert checked.validate_task({"data": task["data"]})
        assert all(checked.validate_prediction(prediction) for prediction in task["predictions"])
        [annotation] = annotated(task, "neutral", note="n")["annotations"]
        assert checked.validate_annotation(annotation)
    wrong = {**tasks[1]["predictions"][0], "result": [{**tasks[1]["predictions"][0]["result"][0], "value": {"choices": ["furious"]}}]}
    assert not checked.validate_prediction(wrong)


def test_argillas_own_package_reads_records_and_settings_and_writes_what_we_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argilla = pytest.importorskip("argilla", reason=REASON)
    from argilla.records._io import JsonIO

    out = write_dataset(tmp_path)
    file, beside = export_reviews(out, "argilla", out / "records.json")
    # Its fields ask for a server when they are made; nothing of what is checked here speaks to one.
    monkeypatch.setattr(argilla.Argilla, "_get_default", classmethod(lambda cls: MagicMock()))
    settings = argilla.Settings.from_json(beside)
    assert tuple(settings.questions["label"].labels) == LABELS
    records = JsonIO._records_from_json(file)
    user = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
    for record in records:
        record.responses.add(argilla.Response("label", "neutral", user_id=user, status="submitted"))
    JsonIO.to_json(records, out / "back.json")
    done = import_reviews(out, "argilla", out / "back.json")
    assert (done.added, done.faults) == (5, {})
