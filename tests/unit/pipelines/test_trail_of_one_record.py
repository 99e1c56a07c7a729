"""What the folder can tell of a record: kept, dropped, or not there."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from stack.pipelines.base import Batch, RecordStage, Work
from stack.pipelines.errors import PipelineError
from stack.pipelines.trail.lineage import RECORD_SHA256, STAGES, apply_noted, begin
from stack.pipelines.trail.trace import trace


class Upper(RecordStage):
    kind: Literal["upper"] = "upper"

    def in_words(self) -> str:
        return "upper case"

    def apply(self, batch: Batch, work: Work) -> None:
        batch.columns["text"] = [text.upper() for text in batch.texts]


class NoShort(RecordStage):
    kind: Literal["no_short"] = "no_short"

    def in_words(self) -> str:
        return "drops texts under 2 characters"

    def apply(self, batch: Batch, work: Work) -> None:
        batch.drop({place: ("too_short", "1") for place, text in enumerate(batch.texts) if len(text) < 2}, stage=self.kind)


class Strip(RecordStage):
    kind: Literal["strip"] = "strip"

    def in_words(self) -> str:
        return "no blanks around"

    def apply(self, batch: Batch, work: Work) -> None:
        batch.columns["text"] = [text.strip() for text in batch.texts]


RUN: tuple[RecordStage, ...] = (Strip(), NoShort(), Upper())
TEXTS = [" x ", "ABC", " abc", "\u0634\u0643\u0631\u0627"]


def cleaned() -> Batch:
    places = range(len(TEXTS))
    batch = Batch({"record_id": [f"r{at}" for at in places], "source": ["s"] * len(TEXTS), "row": list(places), "text": list(TEXTS)})
    begin(batch)
    for stage in RUN:
        apply_noted(stage, batch, Work(Path()))
    return batch


def written(folder: Path, table: pa.Table, suffix: str) -> str:
    name = f"labels.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, folder / name, row_group_size=1)
    elif suffix == "csv":
        pa_csv.write_csv(table, folder / name)
    else:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return name


def finished(folder: Path, suffix: str = "parquet") -> Path:
    batch = cleaned()
    count = len(batch)
    columns: dict[str, Any] = {**batch.columns, "label": ["pos"] * count, "probability": [0.8] * count, "split": ["train"] * count}
    columns |= {"cluster": ["c1"] * count}
    columns |= {f"llm_{name}": [value] * count for name, value in (("label", "pos"), ("error", None), ("model_digest", "m1"))}
    columns |= {"llm_b_label": ["neg"] * count}
    table = pa.table(columns | {"gold": pa.nulls(count, pa.string())})
    card = {
        "stages": [{"kind": stage.kind, "version": 1, "digest": stage.digest(Work(Path())), "words": stage.in_words()} for stage in RUN],
        "labelers": [{"name": name, "kind": "llm", "model": "m", "digest": f"prompt of {name}"} for name in ("llm", "llm_b")],
        "sources": [{"name": "s", "file": "s.csv", "sha256": "5" * 64, "licence": "MIT"}],
        "files": [{"name": written(folder, table, suffix), "records": count}, {"name": "dropped.jsonl", "records": None}],
    }
    (folder / "card.json").write_text(json.dumps(card))
    lines = [
        {"source": "s", "row": 9, "reason": "malformed", "record_id": "", "stage": "read", "detail": "r0"},
        *(vars(each) for each in batch.dropped),
        {"source": "s", "row": 8, "reason": "duplicate", "record_id": "r8", "stage": "dedup", "detail": "r2"},
    ]
    (folder / "dropped.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    spans = [{"record_id": "r2", "start": 0, "kind": "email"}, {"record_id": "r3", "start": 4, "kind": "phone"}]
    (folder / "pii_spans.jsonl").write_text("".join(json.dumps(line) + "\n" for line in spans))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return finished(tmp_path)


def test_each_record_keeps_the_hash_of_its_text_as_read_and_the_stages_that_changed_it() -> None:
    batch = cleaned()
    assert batch.columns["record_id"] == ["r1", "r2", "r3"]
    assert batch.columns[STAGES] == ["", "strip,upper", ""]
    assert batch.columns[RECORD_SHA256] == [hashlib.sha256(text.encode()).hexdigest() for text in TEXTS[1:]]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_a_kept_record_tells_its_source_its_stages_its_votes_and_its_outcome(tmp_path: Path, suffix: str) -> None:
    told = trace(finished(tmp_path, suffix), "r2")
    assert (told["file"], told["source"], told["row"], told["split"], told["dropped"]) == (f"labels.{suffix}", "s", 2, "train", None)
    assert told["source_file"] == {"file": "s.csv", "sha256": "5" * 64, "licence": "MIT", "origin": None, "credit": None, "consent": None}
    assert told[RECORD_SHA256] == hashlib.sha256(b" abc").hexdigest()
    assert [(stage["kind"], stage["changed_text"]) for stage in told["stages"]] == [("strip", True), ("no_short", False), ("upper", True)]
    assert told["stages"][0]["digest"] == Strip().digest(Work(Path()))
    assert told["outcome"] == {"label": "pos", "probability": 0.8, "gold": None}
    assert told["columns"] == {"cluster": "c1"}
    assert "abc" not in json.dumps(told).lower().replace(told[RECORD_SHA256], "")


def test_votes_come_with_model_and_prompt_and_a_labeler_is_not_mistaken_for_one_with_a_longer_name(folder: Path) -> None:
    assert trace(folder, "r1")["votes"] == {
        "llm": {"kind": "llm", "model": "m", "digest": "prompt of llm", "label": "pos", "error": None, "model_digest": "m1"},
        "llm_b": {"kind": "llm", "model": "m", "digest": "prompt of llm_b", "label": "neg"},
    }


def test_logs_of_stages_and_copies_that_were_dropped_for_it_are_told(folder: Path) -> None:
    told = trace(folder, "r2")
    assert told["logs"] == {"pii_spans.jsonl": [{"record_id": "r2", "start": 0, "kind": "email"}]}
    assert told["stood_in_for"] == ["r8"]
    assert trace(folder, "r8")["dropped"]["detail"] == "r2"


def test_a_dropped_record_tells_where_and_why_and_which_stages_it_had_passed(folder: Path) -> None:
    told = trace(folder, "r0")
    assert told["dropped"] == {"stage": "no_short", "reason": "too_short", "detail": "1"}
    assert [stage["kind"] for stage in told["stages"]] == ["strip", "no_short"]
    assert (told["source"], told["row"], told["outcome"]) == ("s", 0, None)


@pytest.mark.parametrize("record_id", ["r9", "", "malformed"])
def test_a_record_that_is_not_there_is_refused_in_one_line(folder: Path, record_id: str) -> None:
    with pytest.raises(PipelineError, match=r"neither in labels\.parquet nor in dropped\.jsonl"):
        trace(folder, record_id)


def test_a_folder_of_no_finished_run_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"has no card\.json"):
        trace(tmp_path, "r1")
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(PipelineError, match=r"none of its data files"):
        trace(tmp_path, "r1")
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(PipelineError, match=r"card\.json cannot be read"):
        trace(tmp_path, "r1")
