"""A call profile: what a call for proposals asks for, as data (models)."""

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from stack.evidence.record import Frozen
from stack.proposal.document import Statement

REQUIREMENTS = Path(__file__).parent / "requirements"
DEFAULT_PROFILE = REQUIREMENTS / "eo14320.yaml"

Confidence = Literal["primary", "secondary", "unverified"]


class Source(Frozen):
    """Where an item stands, and how far that reading can be trusted."""

    title: str
    url: str = Field(pattern=r"^https://\S+$")
    published: date
    confidence: Confidence = Field(description="primary: the text itself was read; secondary: somebody's account of it; unverified: neither")


class Part(Frozen):
    """One thing an item asks for: shown either by signed records of some kinds, or by a statement in the proposal."""

    asks: str
    evidence: tuple[str, ...] = Field(default=(), description="Record kinds of which any one counts")
    statement: Statement | None = Field(default=None, description="Field of the proposal that states it")

    @model_validator(mode="after")
    def _one_way(self) -> "Part":
        if bool(self.evidence) == bool(self.statement):
            raise ValueError("give either `evidence` or `statement`")
        return self


class Item(Frozen):
    """One item of the call."""

    id: str = Field(pattern=r"^[A-Za-z0-9().-]+$")
    title: str
    asks: str = Field(description="What it asks for, in our own words")
    mandatory: bool
    source: str = Field(description="Key in the profile's `sources`")
    parts: tuple[Part, ...] = Field(min_length=1)


class CallProfile(Frozen):
    """A versioned list of what is asked, with its sources."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    version: int = Field(ge=1)
    title: str
    sources: dict[str, Source]
    items: tuple[Item, ...] = Field(min_length=1)
    supporting: dict[str, str] = Field(default_factory=dict, description="Record kinds that no item asks for, with the heading they are shown under")
    limits: tuple[str, ...] = Field(default=(), description="What this profile does not cover; shown with the dossier")

    @model_validator(mode="after")
    def _coherent(self) -> "CallProfile":
        ids = [item.id for item in self.items]
        if len(ids) != len(set(ids)):
            raise ValueError("item ids repeat")
        for item in self.items:
            if item.source not in self.sources:
                raise ValueError(f"item {item.id}: source {item.source!r} is not among `sources`")
        return self

    @property
    def headings(self) -> dict[str, str]:
        """Record kind -> heading, in the order of the items, then the supporting kinds."""
        asked = {kind: f"{item.id} {item.title}" for item in self.items for part in item.parts for kind in part.evidence}
        return asked | self.supporting
