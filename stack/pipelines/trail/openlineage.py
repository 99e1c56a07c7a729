"""A run as OpenLineage 2-0-2 events: START, then COMPLETE or FAIL with the same run id (pure).

Specification: openlineage.io/spec/2-0-2/OpenLineage.json and its facets. The only document of the trail with times in it.
Datasets are named by file, not by where a machine keeps them; their hash is their version and their address.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from stack.evidence import canonical_json
from stack.pipelines.trail.described import Described, SourceFile, WrittenFile

SPEC = "https://openlineage.io/spec"
PRODUCER = "urn:stackproof:pipelines"
NAMESPACE = "stackproof"
FACETS = {
    "schema": "1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
    "dataSource": "1-0-1/DatasourceDatasetFacet.json#/$defs/DatasourceDatasetFacet",
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet",
    "datasetDocumentation": "1-1-0/DocumentationDatasetFacet.json#/$defs/DocumentationDatasetFacet",
    "jobDocumentation": "1-1-0/DocumentationJobFacet.json#/$defs/DocumentationJobFacet",
    "jobType": "2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
    "inputStatistics": "1-0-0/InputStatisticsInputDatasetFacet.json#/$defs/InputStatisticsInputDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet",
}

Event = dict[str, Any]


def start_event(dataset: Described, *, started: datetime) -> Event:
    """When a run begins: what will be read. `dataset` may be without files, counts and columns still."""
    return _event("START", dataset, started, started)


def end_event(dataset: Described, *, started: datetime, ended: datetime, error: str | None = None) -> Event:
    """COMPLETE with the outputs, or FAIL with the message of what ended it. `started` as in the run's START event."""
    if error is not None:
        event = _event("FAIL", dataset, started, ended)
        event["run"]["facets"] = {"errorMessage": _facet("errorMessage", message=error, programmingLanguage="PYTHON")}
        return event
    return _event("COMPLETE", dataset, started, ended) | {"outputs": [_output(file, dataset) for file in dataset.files]}


def run_id(dataset: Described, started: datetime) -> str:
    """Of the sources, the stages and the start: another start is another run, and both events of one run agree."""
    body = {
        "name": dataset.name,
        "sources": [[source.name, source.sha256] for source in dataset.sources],
        "stages": [[stage.kind, stage.version, stage.digest] for stage in dataset.stages],
        "started": _moment(started),
    }
    return str(uuid5(NAMESPACE_URL, f"{PRODUCER}:{hashlib.sha256(canonical_json(body)).hexdigest()}"))


def _event(kind: str, dataset: Described, started: datetime, at: datetime) -> Event:
    stages = "\n".join(f"{stage.kind}: {stage.words}" for stage in dataset.stages)
    return {
        "eventType": kind,
        "eventTime": _moment(at),
        "producer": PRODUCER,
        "schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run_id(dataset, started)},
        "job": {
            "namespace": NAMESPACE,
            "name": dataset.name,
            "facets": {
                "documentation": _facet("jobDocumentation", description=f"{dataset.title}\n{stages}".strip(), contentType="text/plain"),
                "jobType": _facet("jobType", processingType="BATCH", integration="STACKPROOF", jobType="JOB"),
            },
        },
        "inputs": [_input(source, dataset) for source in dataset.sources],
        "outputs": [],
    }


def _input(source: SourceFile, dataset: Described) -> dict[str, Any]:
    facets = {
        "dataSource": _facet("dataSource", name=source.origin or source.file, uri=f"hash://sha256/{source.sha256}"),
        "version": _facet("version", datasetVersion=f"sha256:{source.sha256}"),
    }
    if source.columns:
        facets["schema"] = _facet("schema", fields=[{"name": name} for name in dict.fromkeys(source.columns.values())])
    return {
        "namespace": _namespace(dataset),
        "name": _input_name(source),
        "facets": facets,
        "inputFacets": {"inputStatistics": _facet("inputStatistics", rowCount=source.records, fileCount=1)},
    }


def _output(file: WrittenFile, dataset: Described) -> dict[str, Any]:
    facets = {
        "dataSource": _facet("dataSource", name=file.name, uri=f"hash://sha256/{file.sha256}"),
        "version": _facet("version", datasetVersion=f"sha256:{file.sha256}"),
    }
    written: dict[str, int] = {"size": file.size_bytes, "fileCount": 1}
    if file.records is not None:
        written["rowCount"] = file.records
        facets["documentation"] = _facet("datasetDocumentation", description=dataset.description or dataset.title, contentType="text/plain")
        fields = [{"name": name, "type": arrow, "ordinal_position": place} for place, (name, arrow) in enumerate(dataset.columns.items(), 1)]
        facets["schema"] = _facet("schema", fields=fields)
        if lineage := column_lineage(dataset):
            facets["columnLineage"] = _facet("columnLineage", fields=lineage)
    return {
        "namespace": _namespace(dataset),
        "name": f"out/{file.name}",
        "facets": facets,
        "outputFacets": {"outputStatistics": _facet("outputStatistics", **written)},
    }


def column_lineage(dataset: Described) -> dict[str, Any]:
    """Output columns to the sources' fields they come from, where sources say so: read columns by name, labels from the text.

    The text counts as transformed as soon as there is a stage: which stages changed which record stands in its `stages` column.
    """
    labels = {"label", *(f"{labeler.name}_label" for labeler in dataset.labelers)}
    fields: dict[str, Any] = {}
    for column in dataset.columns:
        origin = "text" if column in labels else column
        changed = column in labels or (column == "text" and bool(dataset.stages))
        found = [_input_field(source, dataset, source.columns[origin], changed=changed) for source in dataset.sources if origin in source.columns]
        if found:
            fields[column] = {"inputFields": found}
    return fields


def _input_field(source: SourceFile, dataset: Described, field: str, *, changed: bool) -> dict[str, Any]:
    how = {"type": "DIRECT", "subtype": "TRANSFORMATION" if changed else "IDENTITY"}
    return {"namespace": _namespace(dataset), "name": _input_name(source), "field": field, "transformations": [how]}


def _namespace(dataset: Described) -> str:
    return f"{NAMESPACE}/{dataset.name}"


def _input_name(source: SourceFile) -> str:
    return f"in/{source.name}/{source.file}"


def _facet(kind: str, **body: object) -> Mapping[str, object]:
    return {"_producer": PRODUCER, "_schemaURL": f"{SPEC}/facets/{FACETS[kind]}", **body}


def _moment(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
