"""A run without a model: what it writes, what it goes on from, what it proves."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from labeling_kit import TEXTS, document, words_only

from stack.evidence import EvidenceStore, SigningKey
from stack.evidence.keys import load_or_create_key
from stack.pipelines import LabelingRun, LocalExecutor, PipelineError, labeling_evidence, load_pipeline, recompute, run_pipeline
from stack.pipelines.run import _locked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"{text},{'yes' if 'good' in text else 'no'}" for text in TEXTS]
    (tmp_path / "notes.csv").write_text("\n".join(["text,gold", *rows, "good,yes", "  ,no", "slipped"]) + "\n")
    return tmp_path


def run(folder: Path, out: str = "out", *, limit: int | None = None, **changes: Any) -> LabelingRun:
    (folder / "notes.yaml").write_text(yaml.safe_dump(document(**{"label": words_only(), **changes})))
    return run_pipeline(load_pipeline(str(folder / "notes.yaml")), folder / out, executor=LocalExecutor(), limit=limit)


def dataset(out: Path) -> dict[str, bytes]:
    """All but the log of runs, which has times."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file() and path.name != "openlineage.jsonl"}


def test_a_run_labels_every_record_and_accounts_for_the_rest(folder: Path) -> None:
    done = run(folder)
    rows = pq.read_table(done.out / "labels.parquet").to_pylist()
    assert [row["label"] for row in rows] == ["yes", "no", None, "yes", "no", None, "yes", "no"]
    assert [row["row"] for row in rows] == list(range(8))
    assert all(row["source"] == "notes" and len(row["record_id"]) == 32 and len(row["words_digest"]) == 64 for row in rows)
    card = json.loads((done.out / "card.json").read_text())
    assert card["counts"] == {
        "read": 11,
        "dropped": {"duplicate": 1, "empty": 1, "malformed": 1},
        "left_out_by_limit": 0,
        "labeled": 8,
        "failed_votes": {"words": 0},
    }
    assert card["label_balance"] == {"": 2, "no": 3, "yes": 3}
    assert card["licences"] == ["CC0-1.0"]
    assert card["statistics"]["against_gold"]["words"]["overall"]["value"] == 1.0
    reasons = [json.loads(line)["reason"] for line in (done.out / "dropped.jsonl").read_text().splitlines()]
    assert sorted(reasons) == ["duplicate", "empty", "malformed"]


def test_a_second_run_makes_nothing_again_and_changes_no_byte(folder: Path) -> None:
    first = run(folder)
    before = dataset(first.out)
    second = run(folder)
    assert (first.labeled, second.labeled, second.records_per_s) == (8, 0, None)
    assert dataset(second.out) == before


@pytest.mark.parametrize("name", ["work/label/shard-00001/data.parquet", "manifest.jsonl", "labels.parquet", "card.json"])
def test_a_file_cut_short_is_made_again_with_the_same_bytes(folder: Path, name: str) -> None:
    out = run(folder).out
    before = dataset(out)
    path = out / name
    path.write_bytes(path.read_bytes()[:-7])
    again = run(folder)
    assert dataset(out) == before
    assert again.labeled == {"work/label/shard-00001/data.parquet": 3}.get(name, 0)


def test_a_changed_lexicon_makes_every_shard_again(folder: Path) -> None:
    run(folder)
    assert run(folder, label=words_only(otherwise="no")).labeled == 8


def test_a_greater_limit_keeps_the_shards_that_stay_the_same_and_a_smaller_one_leaves_no_stray(folder: Path) -> None:
    run(folder, limit=6)
    assert run(folder).labeled == 2
    smaller = run(folder, limit=4)
    assert smaller.card["counts"]["left_out_by_limit"] == 4
    assert sorted(path.name for path in (smaller.out / "work" / "label").glob("shard-*")) == ["shard-00000", "shard-00001"]


def test_two_folders_get_the_same_bytes(folder: Path) -> None:
    assert dataset(run(folder, "a").out) == dataset(run(folder, "b").out)


def test_a_folder_in_use_is_refused(folder: Path) -> None:
    with _locked(folder / "out"), pytest.raises(PipelineError, match="in use by another run"):
        run(folder)


def test_an_output_that_is_a_file_is_refused(folder: Path) -> None:
    (folder / "out").write_text("")
    with pytest.raises(PipelineError, match=r"--out .* cannot be written"):
        run(folder)


def test_a_pipeline_that_asks_a_model_wants_an_endpoint(folder: Path) -> None:
    with pytest.raises(PipelineError, match="asks a model: give --url"):
        run(folder, label=document()["stages"][3])


def test_without_human_labels_nothing_is_claimed_about_accuracy(folder: Path) -> None:
    done = run(folder, evaluate=None)
    assert done.card["statistics"]["against_gold"] == {}
    draft, _ = labeling_evidence(done)
    assert not [figure.name for figure in draft.figures if "accuracy" in figure.name]


def test_the_evidence_is_worked_out_again_from_the_stored_labels_alone(folder: Path, key: SigningKey) -> None:
    done = run(folder)
    stored = EvidenceStore(folder / "evidence", lambda: key).write(*labeling_evidence(done))
    shutil.rmtree(done.out)
    derived = [figure for figure in stored.record.figures if figure.derived_from]
    assert recompute(stored) == derived
    values = {figure.name: figure.value for figure in stored.record.figures}
    assert (values["labeling.records"], values["labeling.dropped"], values["labeling.errors"]) == (8, 3, 0)
    assert (values["labeling.accuracy.words"], values["labeling.accuracy.majority_class"]) == (1.0, 0.625)
    assert values["labeling.records_per_s"] is not None
    assert str(folder) not in stored.path.read_text()


def test_a_run_that_resumed_everything_does_not_claim_a_rate(folder: Path) -> None:
    run(folder)
    draft, _ = labeling_evidence(run(folder))
    rate = next(figure for figure in draft.figures if figure.name == "labeling.records_per_s")
    assert rate.value is None
    assert "earlier run" in rate.note


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return load_or_create_key(tmp_path / "key.pem")
