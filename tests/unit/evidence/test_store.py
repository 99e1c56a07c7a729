"""What is written can be read by a stranger, and nothing of it can change unseen."""

import base64
import json
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stack.evidence import ArtifactSource, Envelope, EvidenceError, EvidenceStore, RecordDraft, SigningKey
from stack.evidence.dsse import PAYLOAD_TYPE, pae
from stack.runtime.errors import StackproofError


def test_records_come_back_as_they_were_written(store: EvidenceStore) -> None:
    records = {stored.record.kind: stored for stored in store.verify()}
    assert set(records) == {"bench", "inventory"}
    bench = records["bench"]
    assert bench.record.config == {"rate": 3}
    assert bench.record.figure("bench.ttft_ms.p50").value == 12.5  # type: ignore[union-attr]
    assert bench.artifact_path("samples.csv").read_bytes() == b"1,2\n3,4\n"
    assert bench.path.name == f"bench-{bench.id}.dsse.json"


def test_a_record_is_an_in_toto_statement_that_names_its_artifacts_by_hash(store: EvidenceStore) -> None:
    stored = next(each for each in store.read() if each.record.kind == "bench")
    envelope = json.loads(stored.path.read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert {subject["name"] for subject in statement["subject"]} == {"record", stored.record.artifacts[0].path}


def test_a_record_tells_tool_command_and_host_without_naming_the_machine(store: EvidenceStore) -> None:
    record = store.read()[0].record
    assert record.tool.name == "stackproof"
    assert record.command[0] == "stackproof"
    machine_id = Path("/etc/machine-id")
    if machine_id.exists() and machine_id.read_text().strip():
        assert machine_id.read_text().strip() not in record.model_dump_json()


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(choice=st.randoms(use_true_random=False))
def test_one_flipped_bit_anywhere_fails_and_names_the_file(store: EvidenceStore, choice: random.Random) -> None:
    files = sorted(path for path in store.root.rglob("*") if path.is_file())
    victim = choice.choice(files)
    original = victim.read_bytes()
    flipped = bytearray(original)
    flipped[choice.randrange(len(flipped))] ^= 1 << choice.randrange(8)
    victim.write_bytes(flipped)
    try:
        with pytest.raises(EvidenceError, match=r"\.(pem|json|csv)") as caught:
            list(store.verify())
        # A changed public key is a valid other key one time in two: then the first record fails under it.
        if victim.name != "public.pem":
            assert str(victim.relative_to(store.root)) in str(caught.value)
    finally:
        victim.write_bytes(original)


def test_a_missing_artifact_is_named(store: EvidenceStore) -> None:
    stored = next(each for each in store.read() if each.record.kind == "bench")
    stored.artifact_path("samples.csv").unlink()
    with pytest.raises(EvidenceError, match=r"artifacts/[0-9a-f]{64}/samples.csv: missing \(named by bench-"):
        list(store.verify())


def test_a_record_under_another_name_is_refused(store: EvidenceStore) -> None:
    path = store.read()[0].path
    path.rename(path.with_name("bench-0000000000000000.dsse.json"))
    with pytest.raises(EvidenceError, match="does not match the record's content address"):
        store.read()


def test_a_folder_begun_with_another_key_is_refused(store: EvidenceStore) -> None:
    other = EvidenceStore(store.root, key=lambda: SigningKey(Ed25519PrivateKey.generate()))
    for attempt in (lambda: other.write(RecordDraft(kind="audit", title="x")), lambda: other.require_writable(option="--evidence")):
        with pytest.raises(StackproofError, match="signed with another key: choose another folder") as caught:
            attempt()
        assert caught.value.exit_status == 2


def test_a_folder_is_tried_before_the_work_without_a_trace(tmp_path: Path, key: SigningKey) -> None:
    store = EvidenceStore(tmp_path / "evidence", key=lambda: key)
    store.require_writable(option="--evidence")
    assert not store.root.exists()
    store.write(RecordDraft(kind="audit", title="x"))
    store.require_writable(option="--evidence")
    assert len(list(store.verify())) == 1


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path, key: SigningKey) -> None:
    store = EvidenceStore(tmp_path / "file", key=lambda: key)
    store.root.write_text("")
    with pytest.raises(StackproofError, match="the evidence cannot be written") as caught:
        store.write(RecordDraft(kind="audit", title="x"))
    assert str(store.root) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(EvidenceError, match="not an evidence folder"):
        store.read()


def test_a_folder_without_a_key_is_not_an_evidence_folder(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"public\.pem: missing"):
        EvidenceStore(tmp_path).read()


def test_the_same_artifact_is_kept_once(store: EvidenceStore) -> None:
    again = ArtifactSource(name="samples.csv", content=b"1,2\n3,4\n", role="samples")
    store.write(RecordDraft(kind="bench", title="B run"), [again])
    assert len(list((store.root / "artifacts").rglob("samples.csv"))) == 1


def test_subjects_that_are_not_the_artifacts_are_refused_even_when_signed(store: EvidenceStore, key: SigningKey) -> None:
    stored = next(each for each in store.read() if each.record.kind == "bench")
    forged = Envelope.seal({"record": "0" * 64}, "urn:stackproof:evidence:v1", stored.record.model_dump(mode="json"), key)
    stored.path.write_bytes(forged.to_bytes())
    with pytest.raises(EvidenceError, match="subjects are not the record and its artifacts"):
        store.read()


@pytest.mark.parametrize("payload", [b"[]", b"nothing", b"[" * 100_000])
def test_a_signed_payload_that_is_no_statement_is_one_line(store: EvidenceStore, key: SigningKey, payload: bytes) -> None:
    signed = Envelope(payload=payload, key_id=key.public.key_id, signature=key.sign(pae(PAYLOAD_TYPE, payload)))
    (store.root / "records" / "x-0.dsse.json").write_bytes(signed.to_bytes())
    with pytest.raises(EvidenceError, match=r"x-0\.dsse\.json: payload is not an in-toto Statement v1"):
        store.read()
