"""The dataset as a Croissant 1.1 card with the vocabulary for responsible AI (pure).

Specifications: docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html and croissant-rai-spec.html. Nothing in it depends on time.
"""

import re
from typing import Any
from urllib.parse import quote

from stack.pipelines.trail.described import Described, Interval, SourceFile, WrittenFile
from stack.pipelines.trail.licences import licence_url

CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")

# The context that the specification prints; validators compare it word by word.
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

ENCODING_FORMATS = {
    "application/vnd.apache.parquet": "application/x-parquet",
    "application/jsonl": "application/jsonlines",
    "application/x-ndjson": "application/jsonlines",
}
"""Media types under which readers of Croissant know a format by another name."""

READABLE = {"application/x-parquet", "application/jsonlines", "text/csv"}

DATA_TYPES = {
    "bool": "sc:Boolean",
    "float": "cr:Float32",
    "double": "cr:Float64",
    "date32[day]": "sc:Date",
    **{f"{sign}int{bits}": f"cr:{'UInt' if sign else 'Int'}{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""By Arrow type. What is not here, structures too, is text, and its description names the Arrow type."""

LIST_OF = re.compile(r"^(?:large_)?list<[^:]+: (?P<item>.+?)(?: not null)?>$")


def croissant(dataset: Described) -> dict[str, Any]:
    """JSON-LD, to be written beside the files it names: their addresses are relative to it."""
    card: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS_TO),
        "name": dataset.name,
        "alternateName": dataset.title,
        "description": dataset.description or dataset.title,
        "version": dataset.version,
        "url": dataset.url,
        "datePublished": dataset.published,
        "creator": [{"@type": "sc:Organization", "name": name} for name in dataset.statements.creators],
        "license": [licence_url(licence) for licence in dataset.licences],
        "inLanguage": [code for code in dataset.languages if code],
        "citeAs": cite_as(dataset),
        "isLiveDataset": False,
        "isBasedOn": [_source(source) for source in dataset.sources],
        "distribution": [_file(file) for file in dataset.files],
        "recordSet": [_record_set(file, dataset) for file in dataset.data_files if _format(file) in READABLE],
        **_responsible_ai(dataset),
    }
    return {key: value for key, value in card.items() if value not in ("", [], None)}


def cite_as(dataset: Described) -> str:
    """BibTeX; the hashes of the data stand for a date, which a deterministic card cannot make up."""
    fields = {
        "title": dataset.title,
        "author": " and ".join(f"{{{name}}}" for name in dataset.statements.creators),
        "year": dataset.published[:4],
        "version": dataset.version,
        "note": "; ".join([*sorted({source.credit for source in dataset.sources if source.credit}), *(f"sha256 {file.sha256}" for file in dataset.data_files)]),
    }
    lines = [f"  {key} = {{{value}}}" for key, value in fields.items() if value]
    return f"@misc{{{dataset.name},\n" + ",\n".join(lines) + "\n}"


def data_type(arrow: str) -> tuple[str, bool]:
    """Croissant's data type of an Arrow type in words, and whether it is a list of it."""
    if found := LIST_OF.match(arrow):
        return data_type(found["item"])[0], True
    if arrow.startswith("timestamp"):
        return "sc:DateTime", False
    return DATA_TYPES.get(arrow, "sc:Text"), False


def _source(source: SourceFile) -> dict[str, Any]:
    based = {
        "@type": "sc:CreativeWork",
        "name": source.name,
        "identifier": f"sha256:{source.sha256}",
        "license": licence_url(source.licence),
        "creditText": source.credit,
        "description": source.origin,
        "inLanguage": source.language,
    }
    return {key: value for key, value in based.items() if value}


def _format(file: WrittenFile) -> str:
    return ENCODING_FORMATS.get(file.media_type, file.media_type)


def _file(file: WrittenFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": quote(file.name),
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.size_bytes} B",
        "encodingFormat": _format(file),
        "sha256": file.sha256,
    }


def _record_set(file: WrittenFile, dataset: Described) -> dict[str, Any]:
    place = f"records/{quote(file.name)}"
    return {
        "@type": "cr:RecordSet",
        "@id": place,
        "name": place,
        "description": f"{file.records} records of {file.name}",
        "key": {"@id": f"{place}/record_id"} if "record_id" in dataset.columns else None,
        "field": [_field(file, place, name, arrow) for name, arrow in dataset.columns.items()],
    }


def _field(file: WrittenFile, place: str, name: str, arrow: str) -> dict[str, Any]:
    kind, many = data_type(arrow)
    body: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{place}/{quote(name, safe='')}",
        "name": name,
        "description": f"Arrow type {arrow}",
        "dataType": kind,
        "source": {"fileObject": {"@id": quote(file.name)}, "extract": {"column": name}},
    }
    return body | ({"isArray": True, "arrayShape": "-1"} if many else {})


def _responsible_ai(dataset: Described) -> dict[str, Any]:
    """Only what is known; keys of the RAI vocabulary 1.0."""
    said = dataset.statements
    collected = said.collected_how or "; ".join(f"{source.name}: {source.origin}" for source in dataset.sources if source.origin)
    by_reason: dict[str, int] = {}
    for stage in dataset.stages:
        for reason, count in stage.dropped.items():
            by_reason[reason] = by_reason.get(reason, 0) + count
    figures = {
        **{f"accuracy of {name}": each for name, each in dataset.accuracy.items()},
        **{f"accuracy in {language or 'no known language'}": each for language, each in dataset.accuracy_by_language.items()},
        **dataset.agreement,
        **{f"Cohen's kappa, {a} with {b}": each for (a, b), each in dataset.kappa.items()},
    }
    return {
        "rai:dataCollection": collected,
        "rai:dataCollectionMissingData": "; ".join(f"{count} records dropped: {reason}" for reason, count in sorted(by_reason.items())),
        "rai:dataPreprocessingProtocol": [f"{stage.kind} (version {stage.version}): {stage.words}" for stage in dataset.stages],
        "rai:dataAnnotationProtocol": [f"{each.name} ({each.kind}), digest {each.digest}" for each in dataset.labelers],
        "rai:dataAnnotationAnalysis": [f"{name}: {in_words(each)}" for name, each in figures.items() if each.value is not None],
        "rai:machineAnnotationTools": [f"{each.name}: {each.model or each.kind}" for each in dataset.labelers if each.kind != "people"],
        "rai:annotationsPerItem": str(len(dataset.labelers)) if dataset.labelers else "",
        "rai:personalSensitiveInformation": [said.personal_data] if said.personal_data else [],
        "rai:dataUseCases": [said.uses] if said.uses else [],
        "rai:dataLimitations": [said.limits] if said.limits else [],
        "rai:dataReleaseMaintenancePlan": said.maintained_by,
    }


def in_words(figure: Interval) -> str:
    """0.665 (95 % interval 0.597 to 0.727)."""
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} (95 % interval {figure.low:.3f} to {figure.high:.3f})"
