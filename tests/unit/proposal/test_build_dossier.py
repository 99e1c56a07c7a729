"""Building: the same inputs give the same bytes, and nothing that was there before is lost by a failure."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dossier_kit import Made

from stack.evidence import Envelope, EvidenceError, EvidenceStore, SigningKey
from stack.proposal import DossierError, ProposalError, build_dossier
from stack.proposal.dossier import DOSSIER, MANIFEST, PAGE, PROFILE, PROPOSAL
from stack.proposal.show import read_dossier


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_same_records_and_proposal_give_the_same_bytes_in_every_file(made: Made, tmp_path: Path) -> None:
    assert contents(made.build(tmp_path / "again")) == contents(made.out)


def test_a_dossier_can_be_built_again_from_itself(made: Made, tmp_path: Path) -> None:
    build_dossier(made.out / "evidence", made.out / PROPOSAL, tmp_path / "again", profile=made.out / PROFILE, key=lambda: made.key)
    assert contents(tmp_path / "again") == contents(made.out)


def test_the_manifest_names_every_other_file(made: Made) -> None:
    statement = json.loads(Envelope.from_bytes((made.out / MANIFEST).read_bytes(), name=MANIFEST).payload)
    assert {subject["name"] for subject in statement["subject"]} == contents(made.out).keys() - {MANIFEST}
    assert statement["predicate"]["key_id"] == made.key.public.key_id
    assert statement["predicate"]["counts"] == {
        "files": 8, "records": 2, "figures": 4, "artifacts": 1, "holds": 1, "does_not_hold": 1, "cannot_tell": 1, "missing": 8,
    }  # fmt: skip


def test_dossier_json_has_each_figure_with_its_class_its_record_and_its_files(made: Made) -> None:
    record = next(record for record in json.loads((made.out / DOSSIER).read_bytes())["records"] if record["kind"] == "synthetic")
    assert {figure["name"]: (figure["value"], figure["kind"]) for figure in record["figures"]} == {
        "latency_ms.p50": (12.5, "measured"), "requests": (3, "measured"), "peak_tflops": (2.5, "published"), "power_w": (None, "measured"),
    }  # fmt: skip
    assert (made.out / record["path"]).is_file()
    assert (made.out / record["artifacts"][0]["path"]).is_file()


def test_a_dossier_with_missing_items_is_not_complete(made: Made) -> None:
    dossier = read_dossier(made.out)
    assert not dossier.complete
    assert "3(b)(iv) What is requested" in dossier.missing


def test_an_earlier_dossier_is_replaced_as_a_whole(made: Made) -> None:
    made.proposal.write_text("title: Another\n")
    made.build()
    assert read_dossier(made.out).title == "Another"
    assert made.verify().ok
    assert [path.name for path in made.out.parent.iterdir() if path.name.startswith(".")] == []


def test_files_that_no_record_names_are_not_copied(made: Made) -> None:
    (made.evidence / "notes.txt").write_text("private")
    made.build()
    assert "evidence/notes.txt" not in contents(made.out)


def test_a_failed_build_leaves_the_earlier_dossier_and_nothing_else(made: Made) -> None:
    before = contents(made.out)
    next(made.evidence.glob("artifacts/*/samples.csv")).write_bytes(b"1\n")
    with pytest.raises(EvidenceError, match=r"samples\.csv: content does not match its hash"):
        made.build()
    assert contents(made.out) == before
    assert sorted(path.name for path in made.out.parent.iterdir()) == ["dossier", "evidence", "proposal.yaml"]


def test_a_folder_with_other_files_is_never_replaced(made: Made) -> None:
    (made.out / "thesis.txt").write_text("years of work")
    with pytest.raises(ProposalError, match="holds files that are not a dossier's"):
        made.build()
    with pytest.raises(ProposalError, match="would replace the evidence"):
        made.build(made.evidence.parent)


def test_evidence_of_another_key_is_refused_with_the_mend(made: Made) -> None:
    with pytest.raises(ProposalError, match="set STACKPROOF_SIGNING_KEY"):
        build_dossier(made.evidence, made.proposal, made.out, key=lambda: SigningKey(Ed25519PrivateKey.generate()))


def test_evidence_behind_a_symbolic_link_is_refused(made: Made, tmp_path: Path) -> None:
    artifact = next(made.evidence.glob("artifacts/*/samples.csv"))
    artifact.rename(tmp_path / "samples.csv")
    artifact.symlink_to(tmp_path / "samples.csv")
    with pytest.raises(DossierError, match=r"samples\.csv: a symbolic link"):
        made.build()


def test_a_folder_without_records_says_what_to_do(made: Made, tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path / "empty", key=lambda: made.key)
    store._claim(made.key)
    with pytest.raises(ProposalError, match="holds no records: run something with --evidence"):
        build_dossier(store.root, made.proposal, tmp_path / "x", key=lambda: made.key)
    with pytest.raises(ProposalError, match="no such folder of evidence"):
        build_dossier(tmp_path / "absent", made.proposal, tmp_path / "x", key=lambda: made.key)


def test_a_pipe_in_the_place_of_a_file_does_not_hang_the_build(made: Made) -> None:
    os.mkfifo(made.evidence / "records" / "x.dsse.json")
    with pytest.raises(DossierError, match="not a regular file"):
        made.build()


def test_the_page_is_left_out_of_nothing_it_can_be_opened_from_the_folder_alone(made: Made) -> None:
    assert (made.out / PAGE).stat().st_mode & 0o777 == 0o644
    assert made.out.stat().st_mode & 0o777 == 0o755
