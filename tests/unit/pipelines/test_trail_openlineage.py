"""The events, held against the published schemas: the event's own and each facet's."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from trail_kit import described, hostile

from stack.pipelines.trail.described import SourceFile
from stack.pipelines.trail.openlineage import column_lineage, end_event, run_id, start_event

SCHEMAS = {
    schema["$id"]: schema for schema in (json.loads(path.read_text()) for path in sorted((Path(__file__).parents[2] / "data" / "openlineage").glob("*.json")))
}
REGISTRY: Registry[Any] = Registry().with_resources((uri, Resource.from_contents(schema)) for uri, schema in SCHEMAS.items())
STARTED = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
ENDED = STARTED + timedelta(seconds=66)


def check(value: object, uri: str) -> None:
    Draft202012Validator({"$ref": uri}, registry=REGISTRY, format_checker=FormatChecker()).validate(value)


def facets(value: object) -> Iterator[dict[str, Any]]:
    """Every facet, wherever it stands."""
    if isinstance(value, dict):
        if "_schemaURL" in value:
            yield value
        for each in value.values():
            yield from facets(each)
    elif isinstance(value, list):
        for each in value:
            yield from facets(each)


@pytest.mark.parametrize("dataset", [described(), hostile()], ids=["plain", "hostile"])
def test_every_event_and_every_facet_keeps_to_the_published_schemas(dataset: Any) -> None:
    events = [
        start_event(dataset, started=STARTED),
        end_event(dataset, started=STARTED, ended=ENDED),
        end_event(dataset, started=STARTED, ended=ENDED, error="the endpoint is gone"),
    ]
    seen = set()
    for event in events:
        check(event, event["schemaURL"])
        for facet in facets(event):
            assert facet["_schemaURL"].split("#")[0] in SCHEMAS
            check(facet, facet["_schemaURL"])
            seen.add(facet["_schemaURL"].split("/")[-1])
    expected = {"SchemaDatasetFacet", "DatasetVersionDatasetFacet", "DatasourceDatasetFacet", "DocumentationDatasetFacet", "DocumentationJobFacet"}
    assert expected | {"JobTypeJobFacet", "ErrorMessageRunFacet", "InputStatisticsInputDatasetFacet", "OutputStatisticsOutputDatasetFacet"} <= seen


def test_a_broken_facet_would_be_caught_by_these_schemas() -> None:
    event = end_event(described(), started=STARTED, ended=ENDED)
    facet = event["outputs"][0]["outputFacets"]["outputStatistics"]
    with pytest.raises(Exception, match="integer"):
        check({**facet, "rowCount": "many"}, facet["_schemaURL"])


def test_both_events_of_a_run_share_its_id_and_another_start_or_source_is_another_run() -> None:
    dataset = described()
    begun, done = start_event(dataset, started=STARTED), end_event(dataset, started=STARTED, ended=ENDED)
    assert begun["run"]["runId"] == done["run"]["runId"]
    assert [begun["eventType"], done["eventType"]] == ["START", "COMPLETE"]
    assert [begun["eventTime"], done["eventTime"]] == ["2026-11-24T10:00:00.000Z", "2026-11-24T10:01:06.000Z"]
    changed = replace(dataset, sources=[replace(dataset.sources[0], sha256="0" * 64)])
    assert len({run_id(dataset, STARTED), run_id(dataset, ENDED), run_id(changed, STARTED)}) == 3
    assert run_id(dataset, STARTED.astimezone(timezone(timedelta(hours=7)))) == run_id(dataset, STARTED)


def test_a_failed_run_says_why_and_claims_no_output() -> None:
    event = end_event(described(), started=STARTED, ended=ENDED, error="the endpoint is gone")
    assert event["eventType"] == "FAIL"
    assert event["outputs"] == []
    assert event["run"]["facets"]["errorMessage"]["message"] == "the endpoint is gone"


def test_columns_are_traced_to_the_fields_a_source_names_and_to_no_others() -> None:
    dataset = replace(described(), columns={"record_id": "string", "text": "string", "gold": "string", "llm_label": "string"})
    lineage = column_lineage(dataset)
    found = {column: [(each["name"], each["field"], each["transformations"][0]["subtype"]) for each in body["inputFields"]] for column, body in lineage.items()}
    assert found == {
        "text": [("in/ms/ms.csv", "body", "TRANSFORMATION")],
        "gold": [("in/ms/ms.csv", "mood", "IDENTITY")],
        "llm_label": [("in/ms/ms.csv", "body", "TRANSFORMATION")],
    }
    assert column_lineage(replace(dataset, sources=[SourceFile("x", "x.csv", "0" * 64, 1)])) == {}


def test_a_complete_event_counts_rows_and_bytes_of_what_was_written() -> None:
    output = end_event(described(), started=STARTED, ended=ENDED)["outputs"][0]
    statistics = output["outputFacets"]["outputStatistics"]
    assert (statistics["rowCount"], statistics["size"], statistics["fileCount"]) == (188, 4096, 1)
    assert [each["name"] for each in output["facets"]["schema"]["fields"]][:3] == ["record_id", "row", "text"]
