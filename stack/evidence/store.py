"""A folder of evidence: `records/*.dsse.json`, `artifacts/<sha256>/<name>`, `public.pem` (edge)."""

import hashlib
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from stack.evidence import provenance
from stack.evidence.dsse import Envelope, as_subjects, canonical_json
from stack.evidence.errors import EvidenceError
from stack.evidence.keys import PublicKey, SigningKey, load_or_create_key
from stack.evidence.record import Artifact, Record, RecordDraft, now
from stack.runtime.errors import StackproofError, describe_validation
from stack.runtime.files import atomic_path, sha256_file, write_atomic
from stack.runtime.writable import require_folder

PREDICATE_TYPE = "urn:stackproof:evidence:v1"
SUFFIX = ".dsse.json"
PUBLIC_KEY = "public.pem"


@dataclass(frozen=True)
class ArtifactSource:
    """A file, or bytes, to be kept with a record."""

    name: str
    content: Path | bytes
    role: str
    media_type: str = "application/octet-stream"


@dataclass(frozen=True)
class StoredRecord:
    """A verified record and where it lies; `artifact_path(name)` is the file of one of its artifacts."""

    record: Record
    path: Path
    root: Path

    @property
    def id(self) -> str:
        return self.record.id

    def artifact_path(self, name: str) -> Path:
        """EvidenceError when the record has no such artifact."""
        artifact = self.record.artifact(name)
        if artifact is None:
            raise EvidenceError(f"{self.path.relative_to(self.root)}: record has no artifact {name!r}")
        return self.root / artifact.path


class EvidenceStore:
    """Writes and reads one evidence folder. All records of a folder are signed by one key."""

    def __init__(self, root: Path, key: Callable[[], SigningKey] = load_or_create_key) -> None:
        self.root = root
        self._key = key

    def require_writable(self, *, option: str) -> None:
        """Before the work that a record shall tell of: StackproofError when none could be written, for the folder or for the key. Nothing is left there."""
        require_folder(self.root, option=option)
        try:
            self._refuse_other_key(self._key())
        except OSError as error:
            raise StackproofError(f"{option}: the signing key cannot be read or made: {error}") from None

    def write(self, draft: RecordDraft, artifacts: Iterable[ArtifactSource] = ()) -> StoredRecord:
        """Store the artifacts, then the signed record; a crash between leaves unreferenced files, never a broken record.

        StackproofError in one line when something cannot be read or written, or the folder was begun with another key.
        """
        try:
            return self._write(draft, artifacts)
        except OSError as error:
            raise StackproofError(f"{error.filename or self.root}: the evidence cannot be written: {error.strerror}") from None

    def _write(self, draft: RecordDraft, artifacts: Iterable[ArtifactSource]) -> StoredRecord:
        key = self._key()
        self._claim(key)
        record = Record(
            **draft.model_dump(),
            created_at=now(),
            command=("stackproof", *sys.argv[1:]),
            tool=provenance.tool(),
            host=provenance.host(),
            artifacts=tuple(self._keep(source) for source in artifacts),
        )
        path = self.root / "records" / f"{record.kind}-{record.id}{SUFFIX}"
        write_atomic(path, Envelope.seal(_subjects(record), PREDICATE_TYPE, record.model_dump(mode="json"), key).to_bytes())
        return StoredRecord(record, path, self.root)

    def read(self) -> list[StoredRecord]:
        """All records, oldest first, each with its signature and its own hash checked (artifacts: `verify`)."""
        key = self.public_key()
        found = [self._open(path, key) for path in sorted((self.root / "records").glob(f"*{SUFFIX}"))]
        return sorted(found, key=lambda stored: (stored.record.created_at, stored.path.name))

    def public_key(self) -> PublicKey:
        try:
            return PublicKey.from_pem((self.root / PUBLIC_KEY).read_bytes(), name=PUBLIC_KEY)
        except (FileNotFoundError, NotADirectoryError):
            raise EvidenceError(f"{PUBLIC_KEY}: missing in {self.root}: not an evidence folder") from None

    def verify(self) -> Iterator[StoredRecord]:
        """Read every record and hash every artifact; the first fault raises EvidenceError naming its file."""
        for stored in self.read():
            for artifact in stored.record.artifacts:
                path = self.root / artifact.path
                if not path.is_file():
                    raise EvidenceError(f"{artifact.path}: missing (named by {stored.path.name})")
                if sha256_file(path) != artifact.sha256:
                    raise EvidenceError(f"{artifact.path}: content does not match its hash (named by {stored.path.name})")
            yield stored

    def _open(self, path: Path, key: PublicKey) -> StoredRecord:
        name = str(path.relative_to(self.root))
        statement = Envelope.from_bytes(path.read_bytes(), name=name).open(key, name=name)
        try:
            record = Record.model_validate(statement.get("predicate"))
        except ValidationError as error:
            raise EvidenceError(describe_validation(error, source=name)) from None
        if statement.get("subject") != as_subjects(_subjects(record)):
            raise EvidenceError(f"{name}: the statement's subjects are not the record and its artifacts")
        if path.name != f"{record.kind}-{record.id}{SUFFIX}":
            raise EvidenceError(f"{name}: file name does not match the record's content address {record.kind}-{record.id}")
        return StoredRecord(record, path, self.root)

    def _claim(self, key: SigningKey) -> None:
        """Write the public key on first use; a folder begun with another key is refused."""
        self._refuse_other_key(key)
        path = self.root / PUBLIC_KEY
        if not path.exists():
            write_atomic(path, key.public.to_pem())

    def _refuse_other_key(self, key: SigningKey) -> None:
        if (self.root / PUBLIC_KEY).exists() and self.public_key().key_id != key.public.key_id:
            raise StackproofError(f"{PUBLIC_KEY}: {self.root} holds evidence signed with another key: choose another folder")

    def _keep(self, source: ArtifactSource) -> Artifact:
        content = source.content
        digest = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256_file(content)
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        artifact = Artifact(name=source.name, sha256=digest, size_bytes=size, media_type=source.media_type, role=source.role)
        place = self.root / artifact.path
        if not place.exists():
            if isinstance(content, bytes):
                write_atomic(place, content)
            else:
                with atomic_path(place) as temporary:
                    shutil.copyfile(content, temporary)
        return artifact


def _subjects(record: Record) -> dict[str, str]:
    """Artifacts by path, and the record itself by its own canonical form: a statement needs a subject."""
    digests = {artifact.path: artifact.sha256 for artifact in record.artifacts}
    return digests | {"record": hashlib.sha256(canonical_json(record.model_dump(mode="json"))).hexdigest()}
