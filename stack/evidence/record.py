"""What a record says (models; no I/O)."""

import hashlib
import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stack.evidence.dsse import canonical_json

SCHEMA = "stackproof.evidence/v1"
ID_LENGTH = 16


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FigureClass(StrEnum):
    """How a figure came about; a published or declared one is never shown as measured."""

    MEASURED = "measured"
    COMPUTED = "computed"
    PUBLISHED = "published"
    DECLARED = "declared"


class Figure(Frozen):
    """One value that may be quoted. `value` None means unknown, and then `note` says why."""

    name: str = Field(pattern=r"^[a-z0-9_.]+$", description="Dotted lower-case name, unique in its record; ends in the unit where one word can say it")
    value: float | int | str | bool | None
    unit: str = Field(default="", description="UCUM-like unit; empty for counts, ratios and words")
    kind: FigureClass
    derived_from: tuple[str, ...] = Field(default=(), description="Names of the record's artifacts that the figure is recomputed from")
    source: str = Field(default="", description="Where a published or declared figure comes from")
    note: str = ""

    @field_validator("value")
    @classmethod
    def _finite(cls, value: float | int | str | bool | None) -> float | int | str | bool | None:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("must be finite; say unknown with None")
        return value


class Artifact(Frozen):
    """A file the record vouches for, stored under its hash."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="File name, unique in the record")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)
    media_type: str
    role: str = Field(description="What it is: samples, log, config, sbom, manifest, report, ...")

    @property
    def path(self) -> str:
        """Relative to the evidence folder."""
        return f"artifacts/{self.sha256}/{self.name}"


class Tool(Frozen):
    name: str = "stackproof"
    version: str
    commit: str = Field(default="", description="Empty when the code does not run from a git checkout")
    dirty: bool | None = Field(default=None, description="Whether the checkout had uncommitted changes; None when unknown")


class Host(Frozen):
    """Enough to tell machines apart without naming one: `fingerprint` is a hash of machine id and hardware."""

    fingerprint: str
    machine: str
    system: str
    python: str
    cpu_count: int


class RecordDraft(Frozen):
    """What a layer fills in; time, tool, host and artifact hashes are the store's to add."""

    kind: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    config: dict[str, Any] = Field(default_factory=dict, description="Exact configuration, without secrets")
    figures: tuple[Figure, ...] = ()
    results: dict[str, Any] = Field(default_factory=dict, description="Typed results; their shape belongs to the kind")

    @field_validator("figures")
    @classmethod
    def _unique_names(cls, figures: tuple[Figure, ...]) -> tuple[Figure, ...]:
        names = [figure.name for figure in figures]
        if len(names) != len(set(names)):
            raise ValueError(f"figure names repeat: {sorted({name for name in names if names.count(name) > 1})}")
        return figures


class Record(RecordDraft):
    """The predicate of the signed statement."""

    schema_version: str = SCHEMA
    created_at: datetime
    command: tuple[str, ...]
    tool: Tool
    host: Host
    artifacts: tuple[Artifact, ...] = ()

    @property
    def id(self) -> str:
        """Content address: the first 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json"))).hexdigest()[:ID_LENGTH]

    def figure(self, name: str) -> Figure | None:
        return next((figure for figure in self.figures if figure.name == name), None)

    def artifact(self, name: str) -> Artifact | None:
        return next((artifact for artifact in self.artifacts if artifact.name == name), None)


def now() -> datetime:
    """Wall time in UTC, to the second: for people, never for arithmetic."""
    return datetime.now(UTC).replace(microsecond=0)
