"""Builds a dossier in one go: the folder is replaced when everything in it is written, or left as it was (edge)."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from stack.evidence import Envelope, EvidenceStore, SigningKey, StoredRecord, load_or_create_key
from stack.evidence.provenance import tool
from stack.evidence.store import PUBLIC_KEY
from stack.proposal.code import code_id
from stack.proposal.dossier import DOSSIER, EVIDENCE, MANIFEST, PAGE, PREDICATE_TYPE, PROFILE, PROPOSAL, Dossier, compose, manifest_predicate
from stack.proposal.errors import DossierError, ProposalError
from stack.proposal.folder import list_folder
from stack.proposal.inputs import Inputs, load_inputs
from stack.proposal.page import render_page
from stack.proposal.profile import DEFAULT_PROFILE
from stack.runtime.files import sha256_file, write_atomic
from stack.runtime.progress import Reporter

TOP_LEVEL = frozenset({EVIDENCE, MANIFEST, DOSSIER, PAGE, PROPOSAL, PROFILE})


def build_dossier(
    evidence_dir: Path,
    proposal: Path,
    out_dir: Path,
    *,
    profile: Path = DEFAULT_PROFILE,
    key: Callable[[], SigningKey] = load_or_create_key,
    reporter: Reporter | None = None,
) -> Dossier:
    """Write a dossier of all records in `evidence_dir` to `out_dir`.

    The same records, proposal and profile give the same `dossier.json` and `index.html`, byte for byte.
    `out_dir` may be absent, empty, or an earlier dossier, which is replaced. ProposalError for inputs that
    cannot be used, EvidenceError or DossierError for evidence that does not hold.
    """
    reporter = reporter or Reporter()
    inputs = load_inputs(proposal, profile)
    out_dir = out_dir.resolve()
    _check_places(evidence_dir, out_dir)
    with reporter.step("Check the evidence") as step:
        stored = _read_evidence(evidence_dir)
        step.note(f"{len(stored)} records")
    signing_key = _signing_key(EvidenceStore(evidence_dir), key)

    out_dir.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        draft.chmod(0o755)
        with reporter.step("Write the dossier", total=len(stored)) as step:
            for item in stored:
                _copy(item, draft / EVIDENCE)
                step.advance()
            write_atomic(draft / EVIDENCE / PUBLIC_KEY, signing_key.public.to_pem())
            dossier = _write_documents(draft, inputs, stored, signing_key)
        _replace(out_dir, draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return dossier


def dossier_json(dossier: Dossier) -> bytes:
    """The one form in which `dossier.json` is written."""
    return (json.dumps(dossier.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()


def _write_documents(root: Path, inputs: Inputs, stored: Sequence[StoredRecord], key: SigningKey) -> Dossier:
    dossier = compose(stored, inputs.proposal, inputs.profile, key_id=key.public.key_id, tool_version=tool().version)
    write_atomic(root / PROPOSAL, inputs.proposal_bytes)
    write_atomic(root / PROFILE, inputs.profile_bytes)
    write_atomic(root / DOSSIER, dossier_json(dossier))
    write_atomic(root / PAGE, render_page(dossier, stored))
    subjects = {name: sha256_file(path) for name, path in list_folder(root).files.items()}
    predicate = manifest_predicate(dossier, files=len(subjects), commit=tool().commit, code_id=code_id())
    write_atomic(root / MANIFEST, Envelope.seal(subjects, PREDICATE_TYPE, predicate, key).to_bytes())
    return dossier


def _read_evidence(evidence_dir: Path) -> list[StoredRecord]:
    if faults := list_folder(evidence_dir).faults:
        raise DossierError(faults[0])
    stored = list(EvidenceStore(evidence_dir).verify())
    if not stored:
        raise ProposalError(f"{evidence_dir}: holds no records: run something with --evidence {evidence_dir} first")
    return stored


def _signing_key(store: EvidenceStore, key: Callable[[], SigningKey]) -> SigningKey:
    """The key that signed the records must sign the dossier too, or it would vouch for nobody."""
    found, wanted = key(), store.public_key().key_id
    if found.public.key_id != wanted:
        raise ProposalError(f"the evidence is signed with key {wanted[:16]} and yours is {found.public.key_id[:16]}: set STACKPROOF_SIGNING_KEY to its file")
    return found


def _check_places(evidence_dir: Path, out_dir: Path) -> None:
    if not evidence_dir.is_dir():
        raise ProposalError(f"{evidence_dir}: no such folder of evidence")
    if evidence_dir.resolve().is_relative_to(out_dir):
        raise ProposalError(f"{out_dir}: would replace the evidence that lies in it: choose another --out")
    if not out_dir.exists():
        return
    if not out_dir.is_dir():
        raise ProposalError(f"{out_dir}: is a file: choose another --out")
    present = {path.name for path in out_dir.iterdir()}
    if present and (MANIFEST not in present or present - TOP_LEVEL):
        raise ProposalError(f"{out_dir}: holds files that are not a dossier's: choose an empty or new --out")


def _copy(stored: StoredRecord, target: Path) -> None:
    """Copy a record and its artifacts, nothing else that may lie in the folder."""
    for relative in (str(stored.path.relative_to(stored.root)), *(artifact.path for artifact in stored.record.artifacts)):
        place = target / relative
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stored.root / relative, place)


def _replace(out_dir: Path, draft: Path) -> None:
    """Put the finished draft in the place of whatever dossier was there."""
    if not out_dir.exists():
        draft.rename(out_dir)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.old.", dir=out_dir.parent))
    out_dir.rename(old / "dossier")
    draft.rename(out_dir)
    shutil.rmtree(old, ignore_errors=True)
