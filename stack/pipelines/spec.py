"""What a pipeline file says (models; no I/O). Unknown fields are refused, so that a typo never passes in silence."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stack.evidence import canonical_json

Label = Annotated[str, Field(min_length=1, max_length=100)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="Lower-case letters, digits and underscores: it becomes part of column and figure names")]
Lexicon = Annotated[dict[Label, tuple[Annotated[str, Field(min_length=1)], ...]], Field(min_length=1)]

STAGE_ORDER = ("read", "normalise", "dedup", "label", "aggregate", "evaluate", "write")
REQUIRED = ("read", "label", "aggregate", "write")
TEXT_FIELD = "{text}"


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Frozen):
    """One file of records and where it may be used: a dataset whose licence is unknown is not a dataset."""

    name: Name
    path: Path = Field(description="CSV with a header line, or JSON Lines; relative to the pipeline file")
    format: Literal["csv", "jsonl"] = "csv"
    text: str = Field(default="text", description="Column with the text")
    gold: str | None = Field(default=None, description="Column with the human label, if there is one")
    id: str | None = Field(default=None, description="Column with the publisher's own id, if there is one")
    language: str = Field(default="", description="BCP 47 tag of the texts")
    licence: str = Field(min_length=1, description="SPDX identifier")
    origin: str = Field(min_length=1, description="Where the records come from: address and version")
    credit: str = Field(default="", description="Who is to be named")


class Read(Frozen):
    kind: Literal["read"]
    sources: tuple[Source, ...] = Field(min_length=1)

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        _require_distinct([source.name for source in sources], what="source")
        return sources


class Normalise(Frozen):
    """Unicode form, then white space: the text that is hashed, compared and labeled."""

    kind: Literal["normalise"]
    unicode: Literal["NFC", "NFKC", "none"] = "NFC"
    whitespace: bool = Field(default=True, description="Turn runs of white space into one space and trim the ends")


class Dedup(Frozen):
    """Exact duplicates of the normalised text, over all sources; the first one read is kept."""

    kind: Literal["dedup"]


class Keywords(Frozen):
    """Votes for the label whose words occur most often."""

    kind: Literal["keywords"]
    name: Name
    lexicon: Lexicon | Path = Field(description="Words and phrases by label, or a YAML file with them (relative to the pipeline file)")
    otherwise: Label | None = Field(default=None, description="The vote on a tie or without any hit; null abstains")


class Example(Frozen):
    """One solved case shown to the model; never taken from the records that are labeled."""

    text: str
    label: Label


class Llm(Frozen):
    """Asks a chat model for one of the labels; the engine constrains the answer to them."""

    kind: Literal["llm"]
    name: Name
    system: str = ""
    prompt: str = Field(description="The question; {text} stands for the record's text")
    examples: tuple[Example, ...] = ()
    max_tokens: int = Field(default=8, ge=1, le=1024)
    concurrency: int = Field(default=16, ge=1, le=1024, description="Requests in flight over the whole run")
    timeout_s: float = Field(default=120.0, gt=0)
    attempts: int = Field(default=4, ge=1, le=20)

    @field_validator("prompt")
    @classmethod
    def _has_a_place_for_the_text(cls, prompt: str) -> str:
        if TEXT_FIELD not in prompt:
            raise ValueError(f"must contain {TEXT_FIELD} where the record's text goes")
        return prompt


Labeler = Annotated[Keywords | Llm, Field(discriminator="kind")]


class LabelStage(Frozen):
    kind: Literal["label"]
    shard_records: int = Field(default=64, ge=1, le=100_000, description="Records in one shard, the unit that is committed and resumed")
    labelers: tuple[Labeler, ...] = Field(min_length=1)

    @field_validator("labelers")
    @classmethod
    def _names_differ(cls, labelers: tuple[Labeler, ...]) -> tuple[Labeler, ...]:
        _require_distinct([labeler.name for labeler in labelers], what="labeler")
        return labelers


class Aggregate(Frozen):
    """One label and its probability from all votes of a record."""

    kind: Literal["aggregate"]
    method: Literal["dawid_skene", "majority"] = "dawid_skene"


class Evaluate(Frozen):
    """Compare every labeler, and the outcome, with the human label."""

    kind: Literal["evaluate"]


class Write(Frozen):
    kind: Literal["write"]
    format: Literal["parquet"] = "parquet"


Stage = Annotated[Read | Normalise | Dedup | LabelStage | Aggregate | Evaluate | Write, Field(discriminator="kind")]
S = TypeVar("S", bound=Frozen)


class Pipeline(Frozen):
    """A validated pipeline; `load.load_pipeline` has replaced file references by what the files say."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    labels: tuple[Label, ...] = Field(min_length=2)
    stages: tuple[Stage, ...]

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        _require_distinct(labels, what="label")
        return labels

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        kinds = [stage.kind for stage in stages]
        if missing := [kind for kind in REQUIRED if kind not in kinds]:
            raise ValueError(f"stage `{missing[0]}` is missing: add one")
        if kinds != sorted(set(kinds), key=STAGE_ORDER.index):
            raise ValueError(f"stages must come once each and in this order: {', '.join(STAGE_ORDER)}; got {', '.join(kinds)}")
        return stages

    @model_validator(mode="after")
    def _labels_are_known(self) -> Self:
        for labeler in self.stage(LabelStage).labelers:
            if isinstance(labeler, Llm):
                used = [example.label for example in labeler.examples]
            else:
                used = [*(labeler.lexicon if isinstance(labeler.lexicon, dict) else ()), *([labeler.otherwise] if labeler.otherwise else [])]
            if unknown := sorted(set(used) - set(self.labels)):
                raise ValueError(f"labeler `{labeler.name}` uses the label {unknown[0]!r}, which is not among `labels`: {', '.join(self.labels)}")
        return self

    def optional(self, kind: type[S]) -> S | None:
        """The stage of that kind, or None."""
        return next((stage for stage in self.stages if isinstance(stage, kind)), None)

    def stage(self, kind: type[S]) -> S:
        """A stage that validation has made sure of."""
        found = self.optional(kind)
        assert found is not None
        return found

    @property
    def labelers(self) -> tuple[Labeler, ...]:
        return self.stage(LabelStage).labelers

    @property
    def asks_a_model(self) -> bool:
        return any(isinstance(labeler, Llm) for labeler in self.labelers)


def labeler_digest(labeler: Labeler, labels: tuple[str, ...]) -> str:
    """SHA-256 of all that decides a vote besides text and model: lexicon, or prompt and examples. Not of how fast it is asked."""
    body = labeler.model_dump(mode="json", exclude={"name", "concurrency", "timeout_s", "attempts"})
    return hashlib.sha256(canonical_json({**body, "labels": list(labels)})).hexdigest()


def _require_distinct(names: list[str] | tuple[str, ...], *, what: str) -> None:
    if len(names) != len(set(names)):
        raise ValueError(f"each {what} needs a name of its own; {next(name for name in names if names.count(name) > 1)!r} repeats")
