"""From an answer to a vote: one of the labels, an object, or quotes turned into places."""

import json
from typing import Any

import pytest
from asking_kit import LABELS, llm
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stack.pipelines.labeling.replies import Reply, UnreadableError, read_reply, reader
from stack.pipelines.labeling.requests import encoded
from stack.pipelines.labeling.spans import Quote, Span, locate, occurrences
from stack.pipelines.labeling.votes import Vote

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "urgency": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["label", "urgency"],
    "additionalProperties": False,
}
AS_JSON = {"output": "json", "json_schema": SCHEMA, "label_field": "label"}
short_texts = st.text(alphabet="ab é😀", max_size=30)


def read(answer: Any, *, text: str = "", **fields: Any) -> Vote:
    said = answer if isinstance(answer, str) else json.dumps(answer)
    return reader(llm(**fields), LABELS)(text, Reply(said, 5, 2))


def body(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encoded(llm(**fields), "t", LABELS, model="tiny"))
    return found


def test_a_choice_is_trimmed_and_must_be_a_label() -> None:
    assert read(" yes\n") == Vote("yes", None, 5, 2)
    assert read("Yes") == Vote(None, "not_a_label", 5, 2, "Yes")
    assert read("") == Vote(None, "not_a_label", 5, 2, "")
    assert len(read("x" * 900).value or "") == 500


def test_the_engine_is_told_what_the_answer_must_be() -> None:
    assert body()["structured_outputs"] == {"choice": ["no", "yes"]}
    schema = body(**AS_JSON)["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["label"] == {"type": "string", "enum": ["no", "yes"]}
    assert schema["properties"]["urgency"] == SCHEMA["properties"]["urgency"]
    nullable = {**SCHEMA, "properties": {"label": {"type": ["string", "null"]}}}
    assert body(**{**AS_JSON, "json_schema": nullable})["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"] == ["no", "yes", None]
    assert body(output="spans")["response_format"]["json_schema"]["schema"]["type"] == "array"
    assert body(model="other")["model"] == "other"
    assert body()["model"] == "tiny"


@pytest.mark.parametrize(
    ("answer", "label", "error", "value"),
    [
        ({"urgency": 2, "label": "yes"}, "yes", None, '{"label":"yes","urgency":2}'),
        ({"label": "perhaps", "urgency": 2}, None, "not_a_label", '{"label": "perhaps", "urgency": 2}'),
        ({"label": "yes", "urgency": 9}, None, "schema_violation", '{"label": "yes", "urgency": 9}'),
        ({"urgency": 2}, None, "schema_violation", '{"urgency": 2}'),
        (["yes"], None, "schema_violation", '["yes"]'),
        ('{"label": "yes", "urg', None, "schema_violation", '{"label": "yes", "urg'),
        ('{"label": "yes", "urgency": NaN}', None, "schema_violation", '{"label": "yes", "urgency": NaN}'),
    ],
)
def test_an_object_must_keep_to_its_schema(answer: Any, label: str | None, error: str | None, value: str) -> None:
    assert read(answer, **AS_JSON) == Vote(label, error, 5, 2, value)


def test_a_null_label_abstains_where_the_schema_lets_it() -> None:
    nullable = {"type": "object", "properties": {"label": {"type": ["string", "null"]}}}
    assert read({"label": None}, **{**AS_JSON, "json_schema": nullable}) == Vote(None, None, 5, 2, '{"label":null}')
    assert read({"label": None, "urgency": 1}, **AS_JSON).error == "schema_violation"


def test_quotes_become_places_in_the_text() -> None:
    text = "Ama 😀 went; Ama came"
    found = read([{"quote": "Ama", "label": "yes"}, {"quote": "Ama", "label": "yes"}, {"quote": "went", "label": "no", "start": 99}], text=text, output="spans")
    assert json.loads(found.value or "") == [
        {"start": 0, "end": 3, "label": "yes"},
        {"start": 6, "end": 10, "label": "no"},
        {"start": 12, "end": 15, "label": "yes"},
    ]
    assert (found.label, found.error) == (None, None)
    assert read([], text=text, output="spans").value == "[]"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([{"quote": "Kofi", "label": "yes"}], "quote_not_found"),
        ([{"quote": "Ama", "label": "person"}], "not_a_label"),
        ([{"quote": "", "label": "yes"}], "schema_violation"),
        ([{"quote": "Ama"}], "schema_violation"),
        ([{"quote": "Ama", "label": "yes", "start": -1}], "schema_violation"),
        ({"quote": "Ama", "label": "yes"}, "schema_violation"),
        ("[", "schema_violation"),
    ],
)
def test_an_answer_that_is_no_list_of_quotes_is_an_error(answer: Any, error: str) -> None:
    assert read(answer, text="Ama went", output="spans").error == error


@given(short_texts, st.data())
def test_a_located_span_says_what_was_quoted(text: str, data: st.DataObject) -> None:
    places = st.integers(0, len(text)).flatmap(lambda a: st.integers(0, len(text)).map(lambda b: (min(a, b), max(a, b))))
    marked = [place for place in data.draw(st.lists(places, max_size=6)) if place[0] < place[1]]
    labels = [data.draw(st.sampled_from(LABELS)) for _ in marked]
    truth = {Span(start, end, label) for (start, end), label in zip(marked, labels, strict=True)}
    exact = locate(text, [Quote(text[span.start : span.end], span.label, span.start) for span in truth])
    assert exact == sorted(truth), "with the right start the very place is found"
    without = locate(text, [Quote(text[span.start : span.end], span.label) for span in truth])
    assert without is not None
    assert sorted((text[span.start : span.end], span.label) for span in without) == sorted((text[span.start : span.end], span.label) for span in truth)
    assert len(set(without)) == len(without)


@given(short_texts, st.text(alphabet="ab é😀", min_size=1, max_size=3), st.integers(0, 60))
def test_a_wrong_start_leads_to_the_nearest_occurrence(text: str, quote: str, start: int) -> None:
    found = locate(text, [Quote(quote, "yes", start)])
    every = [place for place in range(len(text)) if text.startswith(quote, place)]
    assert occurrences(text, quote) == every
    if not every:
        assert found is None
    else:
        assert found is not None
        assert abs(found[0].start - start) == min(abs(place - start) for place in every)


def test_of_two_occurrences_equally_near_the_earlier_is_taken() -> None:
    assert locate("ab--ab", [Quote("ab", "yes", 2)]) == [Span(0, 2, "yes")]
    assert locate("ab--ab", [Quote("ab", "yes", 3)]) == [Span(4, 6, "yes")]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"<html>", "not_json"),
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"null", "malformed"),
        (b'{"choices": []}', "malformed"),
        (b'{"choices": [{"message": {"content": "yes"}}]}', "malformed"),
        (b'{"choices": [{"message": {"content": ["yes"]}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}', "malformed"),
    ],
    ids=["html", "empty", "bytes", "deep", "null", "no choice", "no usage", "parts"],
)
def test_a_200_without_a_completion_is_unreadable(said: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read_reply(said)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"output": "json"}, "needs `json_schema` and `label_field`"),
        ({"json_schema": SCHEMA}, "are for output json, not choice"),
        ({**AS_JSON, "json_schema": {"type": "objekt"}}, "not a JSON Schema"),
        ({**AS_JSON, "json_schema": {"$ref": "http://example.org/s.json"}}, "only references within the schema"),
        ({"output": "spans", "max_tokens": 8}, "8 tokens never hold a whole answer"),
        ({"prompt": "no place"}, "must contain {text}"),
        ({"temperature": 0.5}, "temperature"),
    ],
)
def test_a_labeler_that_cannot_work_is_refused_with_its_field(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told.replace("{", r"\{")):
        llm(**fields)
