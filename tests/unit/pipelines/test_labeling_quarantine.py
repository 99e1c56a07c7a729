"""Bad records of every kind in one run: nothing is lost, each is counted and named."""

import gzip
import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from labeling_kit import words_only

from stack.pipelines import LabelingRun, LocalExecutor, PipelineError, load_pipeline, run_pipeline, trace
from stack.pipelines.review.decisions import Kind, text_sha256
from stack.pipelines.review.log import open_log


def source(name: str, path: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "path": path, "licence": "CC0-1.0", "origin": "written for this test", **fields}


def run(folder: Path, *stages: dict[str, Any], sources: list[dict[str, Any]], out: str = "out", read: dict[str, Any] | None = None) -> LabelingRun:
    document = {
        "name": "notes",
        "title": "Notes",
        "labels": ["yes", "no"],
        "stages": [{"kind": "read", "sources": sources, **(read or {})}, *stages, {"kind": "write"}],
    }
    (folder / "notes.yaml").write_text(yaml.safe_dump(document))
    return run_pipeline(load_pipeline(str(folder / "notes.yaml")), folder / out, executor=LocalExecutor())


@pytest.fixture
def spoiled(tmp_path: Path) -> list[dict[str, Any]]:
    """Five sources, each with two good records and something wrong."""
    (tmp_path / "rows.csv").write_bytes(b"text\ngood one\nbad two\nslipped,row\n\xff\xfe\n  \n")
    (tmp_path / "lines.jsonl").write_text('{"text": "good three"}\n{"text": 5}\n{\n{"text": "bad four"}\n{"text": "' + "x" * 3000 + '"}\n')
    pq.write_table(pa.table({"text": [f"good {letter}" for letter in "abcdefgh"]}), tmp_path / "broken.parquet", row_group_size=4, compression="none")
    data = bytearray((tmp_path / "broken.parquet").read_bytes())
    # Only the second row group holds this word.
    place = data.rindex(b"good e", 0, data.index(b"good h"))
    data[place - 12 : place + 4] = b"\xff" * 16
    (tmp_path / "broken.parquet").write_bytes(bytes(data))
    whole = gzip.compress("".join(f"good line {number} {number * 7919}\n" for number in range(20_000)).encode())
    (tmp_path / "cut.txt.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "mails").mkdir()
    (tmp_path / "mails" / "a.eml").write_bytes(b"From: x@example.org\nSubject: s\n\ngood mail\n")
    (tmp_path / "mails" / "b.eml").write_bytes(b"\xff\xff\x00")
    return [
        source("rows", "rows.csv"),
        source("lines", "lines.jsonl", max_record_bytes=1000),
        source("groups", "broken.parquet"),
        source("cut", "cut.txt.gz", format="text"),
        source("mails", "mails"),
    ]


def test_every_record_that_was_read_is_in_the_dataset_or_dropped_by_name(tmp_path: Path, spoiled: list[dict[str, Any]]) -> None:
    done = run(tmp_path, {"kind": "normalise"}, {"kind": "dedup"}, sources=spoiled, read={"shard_records": 3000})
    rows = pq.read_table(done.out / "labels.parquet", columns=["source", "row"]).to_pylist()
    dropped = [json.loads(line) for line in (done.out / "dropped.jsonl").read_text().splitlines()]
    named = [(each["source"], each["row"]) for each in [*rows, *dropped]]
    assert len(named) == len(set(named)) == done.card["counts"]["read"]
    assert done.card["unaccounted"] == 0
    reasons = {(each["source"], each["reason"]) for each in dropped}
    assert {("rows", "malformed"), ("rows", "empty"), ("lines", "malformed"), ("lines", "too_long")} <= reasons
    assert {name for name, _ in reasons} >= {"rows", "lines", "groups", "cut"}
    assert all(each["reason"] and each["stage"] for each in dropped)


@pytest.mark.slow
def test_the_cut_into_shards_does_not_show_in_the_dataset(tmp_path: Path, spoiled: list[dict[str, Any]]) -> None:
    stages = [{"kind": "normalise"}, {"kind": "dedup"}, {"kind": "near_dedup"}, {"kind": "split", "shares": {"train": 0.5, "test": 0.5}}]
    files = []
    for size in (700, 5000):
        out = run(tmp_path, *stages, sources=spoiled, out=f"out{size}", read={"shard_records": size}).out
        files.append(((out / "labels.parquet").read_bytes(), sorted((out / "dropped.jsonl").read_text().splitlines())))
    assert files[0] == files[1]


def test_a_dropped_record_can_be_followed_to_the_stage_that_dropped_it(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\ngood\ngood\nbad\n")
    out = run(tmp_path, {"kind": "dedup"}, sources=[source("rows", "rows.csv")]).out
    (dropped,) = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    told = trace(out, dropped["record_id"])
    assert (told["row"], told["dropped"]["stage"], told["dropped"]["reason"]) == (1, "dedup", "duplicate")
    kept = trace(out, dropped["detail"])
    assert (kept["row"], kept["dropped"]) == (0, None)


def test_a_full_disk_ends_the_run_in_one_line_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_text("text\n" + "".join(f"good {number}\n" for number in range(30)))
    write, calls = pq.write_table, []

    def full(*arguments: Any, **named: Any) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write(*arguments, **named)

    monkeypatch.setattr("stack.pipelines.shards.pq.write_table", full)
    with pytest.raises(PipelineError, match=r"no room left at .*run the same command again to go on"):
        run(tmp_path, {"kind": "normalise"}, sources=[source("rows", "rows.csv")], read={"shard_records": 10})
    monkeypatch.undo()
    assert not list((tmp_path / "out" / "work").rglob(".shard-*"))
    done = run(tmp_path, {"kind": "normalise"}, sources=[source("rows", "rows.csv")], read={"shard_records": 10})
    assert done.card["counts"]["labeled"] == 30
    clean = run(tmp_path, {"kind": "normalise"}, sources=[source("rows", "rows.csv")], read={"shard_records": 10}, out="clean")
    assert (done.out / "labels.parquet").read_bytes() == (clean.out / "labels.parquet").read_bytes()


def test_what_people_decided_is_a_vote_in_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\ngood\nbad\nneither\n")
    label = words_only()
    label["labelers"].append({"kind": "people", "name": "people"})
    stages = [{"kind": "label", **label}, {"kind": "aggregate", "method": "majority"}]
    first = run(tmp_path, *stages, sources=[source("rows", "rows.csv")])
    rows = pq.read_table(first.out / "labels.parquet").to_pylist()
    assert [(row["people_label"], row["label"]) for row in rows] == [(None, "yes"), (None, "no"), (None, None)]
    with open_log(first.out) as log:
        for row, text in ((rows[2], "neither"), (rows[0], "what it was before")):
            log.append(kind=Kind.VOTE, record_id=row["record_id"], text_sha256=text_sha256(text), reviewer="Amina", label="no")
    second = run(tmp_path, *stages, sources=[source("rows", "rows.csv")])
    rows = pq.read_table(second.out / "labels.parquet").to_pylist()
    assert [(row["people_label"], row["label"]) for row in rows] == [(None, "yes"), (None, "no"), ("no", "no")]
    assert second.labeled == 3


def test_what_a_stage_needs_is_looked_for_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_text("text\ngood\n")
    with pytest.raises(PipelineError, match=r"stage `pii`: field `key_file`: no file at .*none.key: make one with `stackproof label key"):
        run(tmp_path, {"kind": "pii", "how": "pseudonym", "key_file": "none.key"}, sources=[source("rows", "rows.csv")])
    monkeypatch.setattr("stack.pipelines.needs.version", lambda name: (_ for _ in ()).throw(PackageNotFoundError(name)))
    with pytest.raises(PipelineError, match=r"stage `near_dedup` needs the package rensa: install stackproof\[labeling\]"):
        run(tmp_path, {"kind": "near_dedup"}, sources=[source("rows", "rows.csv")])
    assert not (tmp_path / "out").exists()
