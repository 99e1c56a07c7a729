"""The Croissant card, held against the reference reader."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trail_kit import TABLE, described, hostile, sha, write

from stack.pipelines.trail.croissant import croissant, data_type
from stack.pipelines.trail.described import Described


def opened(folder: Path, dataset: Described) -> Any:
    place = folder / "croissant.json"
    place.write_text(json.dumps(croissant(dataset)))
    import mlcroissant  # brings torch: only the worker that runs these tests shall pay for it

    return mlcroissant.Dataset(jsonld=place)


def plain(value: Any) -> Any:
    """As Python has it: the reader gives bytes for text, and NaN for what is missing."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list) or hasattr(value, "tolist"):
        return [plain(each) for each in value] if hasattr(value, "__len__") else plain(value.tolist())
    return None if value != value else value  # noqa: PLR0124 - only NaN differs from itself


@pytest.mark.parametrize("name", ["labels.parquet", "labels.jsonl", "labels.csv"])
def test_the_reference_reader_reads_every_record_back_through_the_card(tmp_path: Path, name: str) -> None:
    dataset = described((write(tmp_path, name),))
    rows = TABLE
    if name.endswith(".csv"):
        rows = TABLE.drop_columns(["tags"])
        dataset = replace(dataset, columns={column: kind for column, kind in dataset.columns.items() if column != "tags"})
    loaded = opened(tmp_path, dataset)
    assert not loaded.metadata.ctx.issues.errors
    read = [{key.split("/")[-1]: plain(value) for key, value in record.items()} for record in loaded.records(f"records/{name}")]
    assert read == rows.to_pylist()


def test_a_card_for_a_file_that_was_changed_afterwards_is_refused_by_the_reader(tmp_path: Path) -> None:
    dataset = described((write(tmp_path, "labels.parquet"),))
    with (tmp_path / "labels.parquet").open("ab") as stream:
        stream.write(b" ")
    import mlcroissant

    with pytest.raises(mlcroissant.GenerationError) as caught:
        list(opened(tmp_path, dataset).records("records/labels.parquet"))
    assert "hash" in str(caught.value.__cause__).lower()


def test_what_the_reader_understood_is_what_was_described(tmp_path: Path) -> None:
    metadata = opened(tmp_path, described((write(tmp_path, "labels.parquet"),))).metadata
    assert metadata.license == ["https://spdx.org/licenses/CC-BY-SA-4.0.html", "https://spdx.org/licenses/MIT.html"]
    assert metadata.annotations_per_item == "2"
    assert metadata.machine_annotation_tools == ["keywords: keywords", "llm: SmolLM2-135M-Instruct"]
    assert metadata.personal_sensitive_information == ["Names and telephone numbers are redacted."]
    assert metadata.data_collection_missing_data == "10 records dropped: duplicate; 2 records dropped: empty"
    assert "Town A" in metadata.cite_as


def test_names_full_of_markup_still_give_a_card_that_validates(tmp_path: Path) -> None:
    dataset = replace(hostile(), files=(write(tmp_path, "labels.parquet"),))
    assert not opened(tmp_path, dataset).metadata.ctx.issues.errors


def test_only_files_with_records_become_record_sets(tmp_path: Path) -> None:
    card = croissant(described((write(tmp_path, "labels.parquet"), replace(write(tmp_path, "dropped.jsonl"), records=None))))
    assert [each["name"] for each in card["distribution"]] == ["labels.parquet", "dropped.jsonl"]
    assert [each["@id"] for each in card["recordSet"]] == ["records/labels.parquet"]


def test_nothing_unknown_is_written_and_the_card_has_no_clock() -> None:
    card = croissant(replace(described(), statements=type(described().statements)(), labelers=(), agreement={}, accuracy={}))
    assert not [key for key in card if key in {"datePublished", "creator", "url", "rai:annotationsPerItem", "rai:personalSensitiveInformation"}]
    assert json.dumps(croissant(described())) == json.dumps(croissant(described()))
    assert sha("p") in json.dumps(card)


@pytest.mark.parametrize(
    ("arrow", "expected"),
    [
        ("string", ("sc:Text", False)),
        ("int64", ("cr:Int64", False)),
        ("uint8", ("cr:UInt8", False)),
        ("double", ("cr:Float64", False)),
        ("bool", ("sc:Boolean", False)),
        ("timestamp[us, tz=UTC]", ("sc:DateTime", False)),
        ("list<element: double>", ("cr:Float64", True)),
        ("large_list<item: string not null>", ("sc:Text", True)),
        ("struct<a: int64>", ("sc:Text", False)),
    ],
)
def test_arrow_types_become_data_types(arrow: str, expected: tuple[str, bool]) -> None:
    assert data_type(arrow) == expected
