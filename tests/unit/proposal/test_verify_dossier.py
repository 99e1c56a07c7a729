"""What verification finds: every changed byte, and every lie that was signed again."""

import base64
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dossier_kit import Made, make, recompute_synthetic
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stack.evidence import ArtifactSource, Envelope, Figure, FigureClass, RecordDraft, SigningKey
from stack.proposal import ProposalError, VerificationReport, verify_dossier
from stack.proposal.dossier import DOSSIER, MANIFEST, PAGE, PREDICATE_TYPE, PROFILE, SCHEMA
from stack.proposal.folder import MAX_DOCUMENT_BYTES
from stack.proposal.report import CHECKS, FIGURES, HASHES
from stack.runtime.files import sha256_file


def sign_again(made: Made) -> None:
    """What a dishonest holder of the key can do: a manifest that fits whatever lies in the folder now."""
    envelope = Envelope.from_bytes((made.out / MANIFEST).read_bytes(), name=MANIFEST)
    predicate = json.loads(envelope.payload)["predicate"]
    files = [path for path in made.out.rglob("*") if path.is_file() and path.name != MANIFEST]
    subjects = {path.relative_to(made.out).as_posix(): sha256_file(path) for path in files}
    predicate["counts"]["files"] = len(subjects)
    (made.out / MANIFEST).write_bytes(Envelope.seal(subjects, PREDICATE_TYPE, predicate, made.key).to_bytes())


def record_path(made: Made, kind: str) -> Path:
    return next((made.out / "evidence" / "records").glob(f"{kind}-*"))


def test_an_honest_dossier_holds_in_every_check(made: Made) -> None:
    report = made.verify(made.key.public.key_id)
    assert report.ok
    assert [check.name for check in report.checks] == list(CHECKS)
    assert all(check.checked for check in report.checks)
    assert report.key_id == made.key.public.key_id


def test_one_flipped_bit_anywhere_fails_and_names_the_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = make(tmp_path_factory.mktemp("flip"))
    files = sorted(path for path in made.out.rglob("*") if path.is_file())

    @settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(choice=st.randoms(use_true_random=False))
    def check(choice: random.Random) -> None:
        victim = choice.choice(files)
        original = victim.read_bytes()
        flipped = bytearray(original)
        flipped[choice.randrange(len(flipped))] ^= 1 << choice.randrange(8)
        victim.write_bytes(flipped)
        try:
            report = made.verify()
        finally:
            victim.write_bytes(original)
        assert not report.ok
        assert any(failure.startswith(victim.relative_to(made.out).as_posix() + ":") for failure in report.failures)

    check()
    assert made.verify().ok


@pytest.mark.parametrize("edit", [lambda data: data + b"\n", lambda data: data[:-1], lambda data: b""], ids=["longer", "shorter", "empty"])
def test_a_file_of_another_length_fails_and_is_named(made: Made, edit: Callable[[bytes], bytes]) -> None:
    for path in sorted(path for path in made.out.rglob("*") if path.is_file()):
        original = path.read_bytes()
        path.write_bytes(edit(original))
        assert any(failure.startswith(path.relative_to(made.out).as_posix() + ":") for failure in made.verify().failures)
        path.write_bytes(original)


def test_each_missing_file_is_named(made: Made) -> None:
    for path in sorted(path for path in made.out.rglob("*") if path.is_file()):
        original = path.read_bytes()
        path.unlink()
        assert any(failure.startswith(path.relative_to(made.out).as_posix() + ": missing") for failure in made.verify().failures)
        path.write_bytes(original)


@pytest.mark.parametrize("name", ["extra.txt", "evidence/artifacts/run.sh", ".hidden", "new\nline"])
def test_an_extra_file_is_named(made: Made, name: str) -> None:
    (made.out / name).write_bytes(b"x")
    (failure,) = made.verify().failures
    assert failure.endswith("not named by the manifest")
    assert "\n" not in failure


def test_an_extra_file_that_was_signed_is_still_named(made: Made) -> None:
    (made.out / "evidence" / "artifacts" / "extra.html").write_bytes(b"<p>Trust me</p>")
    sign_again(made)
    assert made.verify().failures == ("evidence/artifacts/extra.html: no record vouches for it",)


def test_symbolic_links_are_named_and_not_followed(made: Made, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    page = made.out / PAGE
    page.rename(secret)
    page.symlink_to(secret)
    (made.out / "loop").symlink_to(made.out)
    failures = made.verify().failures
    assert any(failure.startswith(f"{PAGE}: a symbolic link") for failure in failures)
    assert any(failure.startswith("loop: a symbolic link") for failure in failures)


def test_a_symbolic_link_in_the_place_of_the_manifest_is_not_read(made: Made, tmp_path: Path) -> None:
    (made.out / MANIFEST).rename(tmp_path / "manifest")
    (made.out / MANIFEST).symlink_to(tmp_path / "manifest")
    assert made.verify().failures == (f"{MANIFEST}: missing",)


def test_a_document_too_large_to_parse_is_named(made: Made) -> None:
    with (made.out / MANIFEST).open("r+b") as stream:
        stream.truncate(MAX_DOCUMENT_BYTES + 1)
    (failure,) = made.verify().failures
    assert failure.startswith(f"{MANIFEST}: larger than")


def test_another_pinned_key_fails_though_everything_else_holds(made: Made) -> None:
    report = made.verify("0" * 64)
    assert not report.ok
    assert report.failures[0].startswith("evidence/public.pem: is key " + made.key.public.key_id)


def test_without_a_pinned_key_the_report_says_so(made: Made) -> None:
    assert "pin it" in made.verify().checks[0].note
    assert made.verify(made.key.public.key_id.upper()).checks[0].note == ""


def test_a_manifest_signed_by_another_key_than_the_records_fails(made: Made) -> None:
    sign_again(Made(made.evidence, made.proposal, made.out, SigningKey(Ed25519PrivateKey.generate())))
    assert made.verify().failures[0].startswith(f"{MANIFEST}: signature does not verify")


def test_a_rewritten_claim_is_found_even_when_signed_again(made: Made) -> None:
    path = made.out / DOSSIER
    path.write_text(path.read_text().replace("does_not_hold", "holds"))
    sign_again(made)
    assert made.verify().failures == (f"{DOSSIER}: is not what its records and its proposal give",)


def test_a_rewritten_page_is_found_even_when_signed_again(made: Made) -> None:
    path = made.out / PAGE
    path.write_text(path.read_text().replace("Does not hold", "Holds"))
    sign_again(made)
    assert made.verify().failures == (f"{PAGE}: is not what {DOSSIER} and the records give",)


def test_a_weakened_profile_is_found_even_when_signed_again(made: Made, tmp_path: Path) -> None:
    path = made.out / PROFILE
    path.write_text(path.read_text().replace("mandatory: true", "mandatory: false"))
    sign_again(made)
    assert f"{PROFILE}: calls itself eo14320 version 1 and is not the one that ships with this version" in made.verify().failures


def test_a_figure_that_its_samples_do_not_give_is_named_with_its_record(made: Made) -> None:
    wrong = Figure(name="latency_ms.p50", value=1.5, unit="ms", kind=FigureClass.MEASURED, derived_from=("samples.csv",))
    made.store.write(RecordDraft(kind="synthetic", title="Too good", figures=(wrong,)), [ArtifactSource("samples.csv", b"30\n40\n", role="samples")])
    made.build()
    failures = made.verify().failures
    assert any("figure latency_ms.p50 is recorded as 1.5 ms and comes out as 35.0 ms" in failure for failure in failures)
    assert any("figure requests comes out of the artifacts and is not in the record" in failure for failure in failures)
    assert all(failure.startswith("evidence/records/synthetic-") for failure in failures)


def test_samples_that_cannot_be_read_are_a_finding_and_not_a_crash(made: Made) -> None:
    figure = Figure(name="requests", value=1, kind=FigureClass.MEASURED, derived_from=("samples.csv",))
    made.store.write(RecordDraft(kind="synthetic", title="Broken", figures=(figure,)), [ArtifactSource("samples.csv", b"\xff\xfe", role="samples")])
    made.build()
    (failure,) = made.verify().failures
    assert "figures could not be worked out again: UnicodeDecodeError" in failure


def test_a_kind_that_no_layer_can_recompute_fails_instead_of_being_skipped(made: Made) -> None:
    report = verify_dossier(made.out)
    (failure,) = report.failures
    assert "no layer knows how for kind 'synthetic'" in failure
    assert next(check for check in report.checks if check.name == FIGURES).failures == (failure,)


def test_an_installation_that_lacks_a_package_says_so_instead_of_passing(made: Made) -> None:
    def lacking(kind: str) -> None:
        raise ModuleNotFoundError("No module named 'pyarrow'")

    (failure,) = verify_dossier(made.out, recomputer=lacking).failures
    assert "2 figures cannot be worked out by this installation: ModuleNotFoundError: No module named 'pyarrow'" in failure


def test_checks_after_a_broken_one_are_not_reached(made: Made) -> None:
    (made.out / PAGE).write_bytes(b"")
    report = made.verify()
    by_name = {check.name: check for check in report.checks}
    assert by_name[HASHES].reached
    assert not by_name[FIGURES].reached
    assert not report.ok


def test_a_dossier_drawn_by_other_code_is_checked_but_its_page_is_not_compared(made: Made) -> None:
    envelope = Envelope.from_bytes((made.out / MANIFEST).read_bytes(), name=MANIFEST)
    statement = json.loads(envelope.payload)
    statement["predicate"]["tool"]["code_id"] = "0" * 64
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    (made.out / MANIFEST).write_bytes(Envelope.seal(subjects, PREDICATE_TYPE, statement["predicate"], made.key).to_bytes())
    report = made.verify()
    assert report.ok
    assert report.checks[-1].result == "not compared"
    assert "other code drew it" in report.checks[-1].note


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b"{}",
        b'{"predicateType":"urn:stackproof:dossier:v1","predicate":{"schema_version":"stackproof.dossier/v1"},"subject":7}',
        b'{"predicateType":"urn:stackproof:dossier:v1","predicate":{"schema_version":"stackproof.dossier/v1"},"subject":[{"name":"../../etc/passwd"}]}',
    ],
    ids=["nested", "empty", "subjects", "digest"],
)
def test_a_manifest_that_is_no_manifest_is_named(made: Made, payload: bytes) -> None:
    body = {"payload": base64.b64encode(payload).decode(), "payloadType": "application/vnd.in-toto+json", "signatures": [{"keyid": "k", "sig": ""}]}
    (made.out / MANIFEST).write_bytes(json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    (failure,) = made.verify().failures
    assert failure.startswith(f"{MANIFEST}:")


def test_a_dossier_in_another_format_says_which_one_this_version_checks(made: Made) -> None:
    (made.out / MANIFEST).write_bytes(Envelope.seal({}, PREDICATE_TYPE, {"schema_version": "stackproof.dossier/v9"}, made.key).to_bytes())
    assert made.verify().failures == (f"{MANIFEST}: written as stackproof.dossier/v9, and this version checks {SCHEMA}",)


def test_a_path_that_leads_out_of_the_folder_is_only_a_missing_file(made: Made) -> None:
    (made.out.parent / "outside").write_bytes(b"x")
    subjects = {path.relative_to(made.out).as_posix(): sha256_file(path) for path in made.out.rglob("*") if path.is_file() and path.name != MANIFEST}
    subjects["../outside"] = sha256_file(made.out.parent / "outside")
    (made.out / MANIFEST).write_bytes(Envelope.seal(subjects, PREDICATE_TYPE, {"schema_version": SCHEMA}, made.key).to_bytes())
    assert made.verify().failures == ("../outside: missing (named by the manifest)",)


def test_a_copied_dossier_holds_wherever_it_is_put(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.out, tmp_path / "elsewhere" / "d")
    report: VerificationReport = verify_dossier(tmp_path / "elsewhere" / "d", recomputer=recompute_synthetic)
    assert report.ok


def test_a_folder_that_is_not_there_is_a_mistake_in_usage(tmp_path: Path) -> None:
    with pytest.raises(ProposalError, match="no such folder"):
        verify_dossier(tmp_path / "absent")


def test_a_folder_that_is_no_dossier_fails(tmp_path: Path) -> None:
    assert verify_dossier(tmp_path).failures == (f"{MANIFEST}: missing",)
