"""What a dossier says: models, and the pure function that makes one from records, proposal and profile."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath

from stack.evidence import Artifact, Figure, Record, StoredRecord
from stack.evidence.record import Frozen, Host, Tool
from stack.proposal.claims import Outcome, Verdict, judge
from stack.proposal.coverage import ItemCoverage, cover, missing
from stack.proposal.document import Consortium, Proposal
from stack.proposal.profile import CallProfile, Source

SCHEMA = "stackproof.dossier/v1"

EVIDENCE = "evidence"
MANIFEST = "manifest.dsse.json"
DOSSIER = "dossier.json"
PAGE = "index.html"
PROPOSAL = "proposal.yaml"
PROFILE = "profile.yaml"
PREDICATE_TYPE = "urn:stackproof:dossier:v1"


class ProfileName(Frozen):
    id: str
    version: int
    title: str
    sources: dict[str, Source]


class ArtifactEntry(Frozen):
    """An artifact with its path relative to the dossier."""

    name: str
    path: str
    role: str
    media_type: str
    size_bytes: int
    sha256: str


class RecordEntry(Frozen):
    """One evidence record: where it lies, where it came from, and every figure in it."""

    id: str
    kind: str
    heading: str
    title: str
    path: str
    created_at: datetime
    command: tuple[str, ...]
    tool: Tool
    host: Host
    figures: tuple[Figure, ...]
    artifacts: tuple[ArtifactEntry, ...]


class Dossier(Frozen):
    """The content of `dossier.json`; a pure function of the records, the proposal, the profile and the tool version."""

    schema_version: str = SCHEMA
    tool_version: str
    key_id: str
    title: str
    consortium: Consortium | None
    profile: ProfileName
    complete: bool
    """Nothing that a mandatory item asks for is missing."""
    missing: tuple[str, ...]
    coverage: tuple[ItemCoverage, ...]
    claims: tuple[Verdict, ...]
    records: tuple[RecordEntry, ...]
    limits: tuple[str, ...]

    def outcomes(self, outcome: Outcome) -> int:
        return sum(verdict.outcome is outcome for verdict in self.claims)

    def summary(self) -> dict[str, int]:
        """How much of everything, for a line of text or the manifest."""
        return {
            "records": len(self.records),
            "figures": sum(len(record.figures) for record in self.records),
            "artifacts": len({artifact.path for record in self.records for artifact in record.artifacts}),
            **{outcome.value: self.outcomes(outcome) for outcome in Outcome},
            "missing": len(self.missing),
        }


def compose(stored: Sequence[StoredRecord], proposal: Proposal, profile: CallProfile, *, key_id: str, tool_version: str) -> Dossier:
    """Put a dossier together; `stored` in the order of `EvidenceStore.read`."""
    records = [item.record for item in stored]
    coverage = cover(profile, proposal, records)
    lacking = missing(coverage)
    return Dossier(
        tool_version=tool_version,
        key_id=key_id,
        title=proposal.title,
        consortium=proposal.consortium,
        profile=ProfileName(id=profile.id, version=profile.version, title=profile.title, sources=profile.sources),
        complete=not lacking,
        missing=lacking,
        coverage=coverage,
        claims=tuple(judge(claim, records) for claim in proposal.claims),
        records=tuple(_entry(item, profile) for item in stored),
        limits=(*profile.limits, *proposal.limits),
    )


def manifest_predicate(dossier: Dossier, *, files: int, commit: str, code_id: str) -> dict[str, object]:
    """What the signed manifest says beside the hash of every file; `commit` and `code_id` are those of the tool that wrote it."""
    return {
        "schema_version": dossier.schema_version,
        "tool": {"name": "stackproof", "version": dossier.tool_version, "commit": commit, "code_id": code_id},
        "key_id": dossier.key_id,
        "counts": {"files": files, **dossier.summary()},
    }


def _entry(stored: StoredRecord, profile: CallProfile) -> RecordEntry:
    record: Record = stored.record
    return RecordEntry(
        id=record.id,
        kind=record.kind,
        heading=profile.headings.get(record.kind, f"Other evidence: {record.kind}"),
        title=record.title,
        path=str(PurePosixPath(EVIDENCE, *stored.path.relative_to(stored.root).parts)),
        created_at=record.created_at,
        command=record.command,
        tool=record.tool,
        host=record.host,
        figures=record.figures,
        artifacts=tuple(_artifact(artifact) for artifact in record.artifacts),
    )


def _artifact(artifact: Artifact) -> ArtifactEntry:
    return ArtifactEntry(path=f"{EVIDENCE}/{artifact.path}", **artifact.model_dump())
