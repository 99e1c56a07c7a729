"""CSV and JSON Lines, good and bad."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.pipelines import PipelineError
from stack.pipelines.records import Dropped
from stack.pipelines.sources import read_source
from stack.pipelines.spec import Source

LABELS = ("yes", "no")


def source(path: Path, **fields: str | None) -> Source:
    return Source.model_validate({"name": "notes", "path": path, "gold": "gold", "id": "id", "licence": "CC0-1.0", "origin": "a test", **fields})


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_with_a_byte_order_mark_quotes_and_line_breaks(tmp_path: Path) -> None:
    records, dropped = read_source(source(write(tmp_path / "n.csv", '\ufeffid,text,gold\n7,"a, ""b""\nc",yes\n8,d,\n')), LABELS)
    assert [(r.row, r.source_id, r.text, r.gold) for r in records] == [(0, "7", 'a, "b"\nc', "yes"), (1, "8", "d", None)]
    assert dropped == []


def test_rows_whose_columns_have_slipped_are_dropped_and_named(tmp_path: Path) -> None:
    records, dropped = read_source(source(write(tmp_path / "n.csv", "id,text,gold\n1,a\n2,b,yes\n3,c,no,extra\n")), LABELS)
    assert [record.row for record in records] == [1]
    assert dropped == [Dropped("notes", 0, "malformed"), Dropped("notes", 2, "malformed")]


def test_json_lines_that_are_not_objects_or_have_no_text_are_dropped_and_named(tmp_path: Path) -> None:
    lines = ['{"text": "a", "gold": "yes", "id": 1}', "{", "[]", '{"txt": "b"}', '{"text": 5}', "", '{"text": "c"}']
    records, dropped = read_source(source(write(tmp_path / "n.jsonl", "\n".join(lines)), format="jsonl"), LABELS)
    assert [(r.row, r.source_id, r.gold) for r in records] == [(0, "1", "yes"), (6, None, None)]
    assert [(each.row, each.reason) for each in dropped] == [(row, "malformed") for row in (1, 2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,words,gold\n1,a,yes\n", "has no column `text`; its columns are: id, words, gold"),
        ("id,text,gold\n1,a,maybe\n", "row 0: gold label 'maybe' in column `gold` is not among `labels`: yes, no"),
        ("id,text,gold\n", "has no record with a text in `text`"),
        (b"id,text,gold\n1,\xff\xfe,yes\n", "is not UTF-8"),
        ('id,text,gold\n1,"a"b,yes\n', "is not readable CSV"),
    ],
)
def test_a_file_that_does_not_fit_is_an_error_in_one_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        read_source(source(write(tmp_path / "n.csv", content)), LABELS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"none\.csv cannot be read: No such file"):
        read_source(source(tmp_path / "none.csv"), LABELS)


@given(st.binary(max_size=200), st.sampled_from(["csv", "jsonl"]))
def test_no_content_of_a_file_gives_anything_but_records_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes, form: str) -> None:
    path = write(tmp_path_factory.getbasetemp() / f"any.{form}", (b"id,text,gold\n" if form == "csv" else b"") + content)
    try:
        records, _ = read_source(source(path, format=form), LABELS)
    except PipelineError:
        return
    assert records
