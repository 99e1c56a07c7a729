"""Checks a dossier from nothing but its folder: signatures, hashes, figures worked out again, pages built again (edge).

Nothing in the folder is executed or imported, and no name found in it is used as a path: files are
found by walking the folder, and a record's artifact names are held to a pattern without separators.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from stack.evidence import Envelope, EvidenceError, EvidenceStore, Figure, PublicKey, Recompute, StoredRecord
from stack.evidence.store import PUBLIC_KEY
from stack.proposal.build import dossier_json
from stack.proposal.code import code_id
from stack.proposal.dossier import DOSSIER, EVIDENCE, MANIFEST, PAGE, PREDICATE_TYPE, PROFILE, PROPOSAL, SCHEMA, Dossier, compose, manifest_predicate
from stack.proposal.errors import ProposalError
from stack.proposal.folder import list_folder, printable
from stack.proposal.inputs import load_inputs
from stack.proposal.page import render_page
from stack.proposal.profile import REQUIREMENTS, CallProfile
from stack.proposal.recompute import recompute_for
from stack.proposal.report import CHECKS, CONTENT, DRAWN, FIGURES, HASHES, RECORDS, SIGNATURE, Check, VerificationReport
from stack.runtime.errors import StackproofError
from stack.runtime.files import sha256_file
from stack.runtime.progress import Reporter
from stack.runtime.yaml_input import parse_yaml

RELATIVE_TOLERANCE = 1e-9
"""Sums of floats differ in the last digits between processors and numpy versions; no figure is quoted to nine digits."""


def verify_dossier(
    directory: Path,
    key_id: str | None = None,
    *,
    reporter: Reporter | None = None,
    recomputer: Callable[[str], Recompute | None] = recompute_for,
) -> VerificationReport:
    """Check everything that can be checked offline; with `key_id`, also who signed it.

    ProposalError when `directory` is not a folder or `key_id` not a key id. Whatever is wrong inside it is a failure in the report.
    """
    if not directory.is_dir():
        raise ProposalError(f"{directory}: no such folder")
    if key_id is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", key_id):
        raise ProposalError(f"--key-id {printable(key_id)}: not a key id: it has 64 hexadecimal digits")
    verification = _Verification(directory, key_id, reporter or Reporter(), recomputer)
    done = {check.name: check for check in verification.run()}
    checks = tuple(done.get(name) or Check(name=name, reached=False) for name in CHECKS)
    return VerificationReport(dossier=str(directory), key_id=verification.found_key_id, key_pinned=key_id is not None, checks=checks)


class _Verification:
    """One pass over one dossier. What rests on a broken signature or hash is not looked at."""

    def __init__(self, root: Path, pinned: str | None, reporter: Reporter, recomputer: Callable[[str], Recompute | None]) -> None:
        self.root = root
        self.pinned = pinned
        self.reporter = reporter
        self.recomputer = recomputer
        self.listing = list_folder(root)
        self.found_key_id: str | None = None

    def run(self) -> Iterator[Check]:
        try:
            envelope, statement = self._read_manifest()
            subjects = _subjects(statement)
        except EvidenceError as error:
            yield Check(name=SIGNATURE, failures=(str(error),))
            return
        signature = self._check_signature(envelope)
        yield signature
        # Even under a broken signature: the hashes name the file that was touched, the key file above all.
        hashes = self._check_hashes(subjects)
        yield hashes
        if not (signature.ok and hashes.ok):
            return
        records, stored = self._check_records()
        yield records
        if not records.ok:
            return
        yield self._check_figures(stored)
        content, dossier = self._check_content(stored, statement)
        yield content
        if dossier is not None:
            yield self._check_page(dossier, stored, _tool(statement))

    def _read_manifest(self) -> tuple[Envelope, dict[str, Any]]:
        """The envelope and its statement, not yet trusted."""
        envelope = Envelope.from_bytes(self._read(MANIFEST), name=MANIFEST)
        try:
            statement = json.loads(envelope.payload)
        except (ValueError, RecursionError):
            statement = None
        if not isinstance(statement, dict) or statement.get("predicateType") != PREDICATE_TYPE:
            raise EvidenceError(f"{MANIFEST}: does not describe a dossier")
        predicate = statement.get("predicate")
        written_as = predicate.get("schema_version") if isinstance(predicate, dict) else None
        if written_as != SCHEMA:
            raise EvidenceError(f"{MANIFEST}: written as {printable(str(written_as))}, and this version checks {SCHEMA}")
        return envelope, statement

    def _check_signature(self, envelope: Envelope) -> Check:
        name = f"{EVIDENCE}/{PUBLIC_KEY}"
        try:
            key = PublicKey.from_pem(self._read(name), name=name)
            self.found_key_id = key.key_id
            envelope.open(key, name=MANIFEST)
            if self.pinned is not None and key.key_id != self.pinned.lower():
                raise EvidenceError(f"{name}: is key {key.key_id}, not the key {self.pinned} you asked for")
        except EvidenceError as error:
            return Check(name=SIGNATURE, checked=1, failures=(str(error),))
        except UnsupportedAlgorithm as error:
            return Check(name=SIGNATURE, checked=1, failures=(f"{name}: {_one_line(error)}",))
        note = "" if self.pinned else "the signer is whoever holds this key: pin it with --key-id, learned from the issuer by another way"
        return Check(name=SIGNATURE, checked=1, note=note)

    def _check_hashes(self, subjects: dict[str, str]) -> Check:
        present = {name: path for name, path in self.listing.files.items() if name != MANIFEST}
        failures = list(self.listing.faults)
        failures += [f"{printable(name)}: missing (named by the manifest)" for name in sorted(subjects.keys() - present.keys())]
        failures += [f"{printable(name)}: not named by the manifest" for name in sorted(present.keys() - subjects.keys())]
        with self.reporter.step(HASHES, total=len(present)) as step:
            for name in sorted(present.keys() & subjects.keys()):
                if sha256_file(present[name]) != subjects[name]:
                    failures.append(f"{printable(name)}: content does not match its hash in the manifest")
                step.advance()
        return Check(name=HASHES, checked=len(present), failures=tuple(failures))

    def _check_records(self) -> tuple[Check, list[StoredRecord]]:
        """Every record and artifact by its own address, and nothing in the folder that no record vouches for."""
        stored: list[StoredRecord] = []
        try:
            with self.reporter.step(RECORDS) as step:
                for item in EvidenceStore(self.root / EVIDENCE).verify():
                    stored.append(item)
                    step.advance()
        except EvidenceError as error:
            return Check(name=RECORDS, checked=len(stored), failures=(f"{EVIDENCE}/{error}",)), stored
        except (KeyError, TypeError, ValueError, RecursionError) as error:  # a signed payload that is no statement of ours
            return Check(name=RECORDS, checked=len(stored), failures=(f"{EVIDENCE}/records: a record cannot be read: {_one_line(error)}",)), stored
        expected = {MANIFEST, DOSSIER, PAGE, PROPOSAL, PROFILE, f"{EVIDENCE}/{PUBLIC_KEY}"}
        for item in stored:
            expected.add(item.path.relative_to(self.root).as_posix())
            expected.update(f"{EVIDENCE}/{artifact.path}" for artifact in item.record.artifacts)
        strays = sorted(self.listing.files.keys() - expected)
        return Check(name=RECORDS, checked=len(stored), failures=tuple(f"{printable(name)}: no record vouches for it" for name in strays)), stored

    def _check_figures(self, stored: Sequence[StoredRecord]) -> Check:
        failures: list[str] = []
        derived = [(item, [figure for figure in item.record.figures if figure.derived_from]) for item in stored]
        with self.reporter.step(FIGURES, total=len(stored)) as step:
            for item, figures in derived:
                if figures:
                    failures += [f"{item.path.relative_to(self.root)}: {fault}" for fault in self._recompute(item, figures)]
                step.advance()
        return Check(name=FIGURES, checked=sum(len(figures) for _, figures in derived), failures=tuple(failures))

    def _recompute(self, stored: StoredRecord, expected: Sequence[Figure]) -> Iterator[str]:
        """Faults of one record's derived figures."""
        try:
            recompute = self.recomputer(stored.record.kind)
            if recompute is None:
                yield f"{len(expected)} figures say they can be worked out again, and no layer knows how for kind {stored.record.kind!r}"
                return
            again = {figure.name: figure for figure in recompute(stored)}
        except ImportError as error:
            yield f"{len(expected)} figures cannot be worked out by this installation: {_one_line(error)}"
            return
        except Exception as error:  # the artifacts are a stranger's: whatever they make a reader raise is a finding, not a bug
            yield f"figures could not be worked out again: {_one_line(error)}"
            return
        for figure in expected:
            other = again.pop(figure.name, None)
            if other is None:
                yield f"figure {figure.name} does not come out of its artifacts"
            elif not _same(figure, other):
                yield f"figure {figure.name} is recorded as {figure.value} {figure.unit} and comes out as {other.value} {other.unit}"
        for name in again:
            yield f"figure {name} comes out of the artifacts and is not in the record"

    def _check_content(self, stored: Sequence[StoredRecord], statement: dict[str, Any]) -> tuple[Check, Dossier | None]:
        """Build `dossier.json` again from the records and the documents it carries."""
        try:
            inputs = load_inputs(self.root / PROPOSAL, self.root / PROFILE)
        except ProposalError as error:
            return Check(name=CONTENT, failures=(str(error),)), None
        written_by = _tool(statement)
        dossier = compose(stored, inputs.proposal, inputs.profile, key_id=str(self.found_key_id), tool_version=written_by["version"])
        failures = []
        if dossier_json(dossier) != self._read(DOSSIER):
            failures.append(f"{DOSSIER}: is not what its records and its proposal give")
        summary = manifest_predicate(dossier, files=len(self.listing.files) - 1, commit=written_by["commit"], code_id=written_by["code_id"])
        if statement.get("predicate") != summary:
            failures.append(f"{MANIFEST}: its summary is not what the dossier gives")
        fault, note = _profile_standing(inputs.profile)
        failures += [fault] if fault else []
        return Check(name=CONTENT, checked=1, failures=tuple(failures), note=note), dossier

    def _check_page(self, dossier: Dossier, stored: Sequence[StoredRecord], written_by: dict[str, str]) -> Check:
        if written_by["code_id"] != code_id():
            writer = printable(f"{written_by['version']} {written_by['commit']}".strip())
            return Check(name=DRAWN, note=f"not compared, because other code drew it (stackproof {writer}); {DOSSIER} holds the same facts and was")
        try:
            same = render_page(dossier, stored) == self._read(PAGE)
        except Exception as error:  # as for figures: the plots read a stranger's samples
            return Check(name=DRAWN, checked=1, failures=(f"{PAGE}: could not be drawn again: {_one_line(error)}",))
        return Check(name=DRAWN, checked=1, failures=() if same else (f"{PAGE}: is not what {DOSSIER} and the records give",))

    def _read(self, name: str) -> bytes:
        """A document of the dossier; EvidenceError when it is absent, no plain file, or too large to be one."""
        if name not in self.listing.files:
            raise EvidenceError(f"{name}: missing")
        if fault := next((fault for fault in self.listing.faults if fault.startswith(f"{name}:")), None):
            raise EvidenceError(fault)
        return self.listing.files[name].read_bytes()


def _one_line(error: Exception) -> str:
    """An error of a reader, cut to a line; our own errors are already one."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, StackproofError) else f"{type(error).__name__}: {text}"


def _same(recorded: Figure, again: Figure) -> bool:
    if (recorded.unit, recorded.kind, type(recorded.value)) != (again.unit, again.kind, type(again.value)):
        return False
    if isinstance(recorded.value, float) and isinstance(again.value, float):
        return math.isclose(recorded.value, again.value, rel_tol=RELATIVE_TOLERANCE)
    return recorded.value == again.value


def _subjects(statement: dict[str, Any]) -> dict[str, str]:
    """Path -> SHA-256 of the manifest; EvidenceError when it is not that."""
    try:
        subjects = {str(subject["name"]): str(subject["digest"]["sha256"]) for subject in statement["subject"]}
    except (KeyError, TypeError):
        raise EvidenceError(f"{MANIFEST}: its subjects are not files with SHA-256 digests") from None
    return subjects


def _tool(statement: dict[str, Any]) -> dict[str, str]:
    """Version, commit and code of the tool that wrote the dossier, by its manifest."""
    predicate = statement.get("predicate")
    found = predicate.get("tool") if isinstance(predicate, dict) else None
    said = found if isinstance(found, dict) else {}
    return {key: str(said.get(key, "")) for key in ("version", "commit", "code_id")}


def _profile_standing(profile: CallProfile) -> tuple[str, str]:
    """A failure when the profile claims the name of one that ships and is another; a note when this version ships none of that name."""
    name = f"{profile.id} version {profile.version}"
    for path in sorted(REQUIREMENTS.glob("*.yaml")):
        shipped = parse_yaml(path.read_bytes(), CallProfile, source=path.name, error=ProposalError)
        if (shipped.id, shipped.version) == (profile.id, profile.version):
            return ("", "") if shipped == profile else (f"{PROFILE}: calls itself {name} and is not the one that ships with this version", "")
    return "", f"this version does not ship the profile {name}: read {PROFILE} yourself"
