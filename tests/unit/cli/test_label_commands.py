"""`stackproof label` as a user meets it, without a model."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from stack.cli.main import app
from stack.pipelines import restored_text
from stack.privacy import PrivacyError

TEXTS = ["write to ana@example.org please", "call nobody", "call nobody"]


def invoke(*arguments: str, expect: int = 0) -> str:
    done = CliRunner().invoke(app, ["label", *arguments])
    assert done.exit_code == expect, done.output
    return done.stdout


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A pipeline that seals addresses; its key is made by the command."""
    (tmp_path / "notes.csv").write_text("text\n" + "".join(f"{text}\n" for text in TEXTS))
    invoke("key", str(tmp_path / "pii.key"))
    source = {"name": "notes", "path": "notes.csv", "licence": "CC0-1.0", "origin": "written for this test"}
    stages = [
        {"kind": "read", "sources": [source]},
        {"kind": "dedup"},
        {"kind": "pii", "how": "reversible", "key_file": "pii.key", "kinds": ["email"]},
        {"kind": "write"},
    ]
    path = tmp_path / "notes.yaml"
    path.write_text(yaml.safe_dump({"name": "notes", "title": "Notes", "stages": stages}))
    return path


def test_a_sealed_value_is_put_back_by_its_key_alone(notes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    invoke("run", str(notes), "--out", str(out), "--executor", "local")
    rows = pq.read_table(out / "labels.parquet").to_pylist()
    assert [row["pii"] for row in rows] == [1, 0]
    assert "ana@" not in rows[0]["text"]
    assert not [path for path in out.rglob("*") if path.is_file() and path.parent.name != "shard-00000" and b"ana@" in path.read_bytes()]
    assert invoke("restore", str(out), rows[0]["record_id"], "--key-file", str(tmp_path / "pii.key")) == TEXTS[0] + "\n"
    invoke("key", str(tmp_path / "other.key"))
    with pytest.raises(PrivacyError, match="key"):
        restored_text(out, rows[0]["record_id"], tmp_path / "other.key")


def test_the_plan_warns_of_text_that_lies_on_disk_before_it_is_cleaned(notes: Path) -> None:
    told = invoke("plan", str(notes))
    assert "hint: `pii` comes after `dedup`, so shards under work/ hold the text as it was" in told
    assert "2 in 1 shards; dropped: 1 duplicate" in told


def test_a_record_is_traced_by_its_id(notes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    invoke("run", str(notes), "--out", str(out), "--executor", "local")
    dropped = json.loads((out / "dropped.jsonl").read_text())
    told = json.loads(invoke("trace", str(out), dropped["record_id"], "--json"))
    assert (told["row"], told["dropped"]["reason"], told["dropped"]["stage"]) == (2, "duplicate", "dedup")
    assert "outcome" in invoke("trace", str(out), dropped["detail"])


def test_the_list_names_every_shipped_pipeline() -> None:
    names = [each["name"] for each in json.loads(invoke("list", "--json"))]
    assert {"nusax-sentiment", "transit-requests"} <= set(names)
