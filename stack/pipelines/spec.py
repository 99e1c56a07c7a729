"""What a pipeline file says (model; no I/O): a name, the labels, and stages in their order."""

from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import Field, PrivateAttr, field_validator, model_validator

from stack.pipelines.base import Frozen, Stage
from stack.pipelines.label_stage import LabelStage, require_distinct
from stack.pipelines.labeling.spec import labels_used
from stack.pipelines.labels.stages import Aggregate
from stack.pipelines.markers import Evaluate, Read, Write
from stack.pipelines.registry import AnyStage
from stack.pipelines.trail import Statements

Label = Annotated[str, Field(min_length=1, max_length=100)]
S = TypeVar("S", bound=Stage)


class Pipeline(Frozen):
    """A validated pipeline; `load.load_pipeline` has made its paths absolute and replaced file references by what the files say."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    version: str = Field(default="1.0.0", pattern=r"^\d+\.\d+\.\d+$", description="Of the dataset: raise it when the pipeline changes what it holds")
    labels: tuple[Label, ...] = Field(default=(), description="What labelers may answer, in order; needed by a label stage")
    about: Statements = Field(default=Statements(), description="What only the author can say; shown on the datasheet as declared")
    stages: tuple[Annotated[Stage, AnyStage()], ...]
    _folder: Path = PrivateAttr(default=Path())

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        require_distinct(labels, what="label")
        return labels

    @field_validator("stages")
    @classmethod
    def _in_order(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        kinds = [stage.kind for stage in stages]
        for kind, place, where in (("read", 0, "first"), ("write", -1, "last")):
            if kind not in kinds:
                raise ValueError(f"stage `{kind}` is missing: add one")
            if kinds.count(kind) > 1 or kinds[place] != kind:
                raise ValueError(f"stage `{kind}` must come once, and {where}; got {', '.join(kinds)}")
        if "label" in kinds and "aggregate" not in kinds:
            raise ValueError("stage `aggregate` is missing: add one")
        for kind, before in (("aggregate", "label"), ("label_errors", "aggregate"), ("evaluate", "aggregate")):
            if kind in kinds and before not in kinds[: kinds.index(kind)]:
                raise ValueError(f"stage `{kind}` needs a stage `{before}` before it")
        for kind in ("label", "aggregate"):
            if kinds.count(kind) > 1:
                raise ValueError(f"stage `{kind}` must come once; got {', '.join(kinds)}")
        return stages

    @model_validator(mode="after")
    def _labels_are_known(self) -> Self:
        label = self.optional(LabelStage)
        if label is None:
            return self
        if len(self.labels) < 2:
            raise ValueError("field `labels`: a label stage needs at least two labels")
        for labeler in label.labelers:
            if unknown := sorted(set(labels_used(labeler)) - set(self.labels)):
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
    def read(self) -> Read:
        return self.stage(Read)

    @property
    def write(self) -> Write:
        return self.stage(Write)

    @property
    def label(self) -> LabelStage | None:
        return self.optional(LabelStage)

    @property
    def labeler_names(self) -> tuple[str, ...]:
        return tuple(labeler.name for labeler in self.label.labelers) if self.label else ()

    @property
    def asks_a_model(self) -> bool:
        return self.label is not None and self.label.asks_a_model

    @property
    def evaluates(self) -> bool:
        return self.optional(Evaluate) is not None

    @property
    def aggregate(self) -> Aggregate | None:
        return self.optional(Aggregate)

    @property
    def folder(self) -> Path:
        """Where relative paths start: the folder of the pipeline file."""
        return self._folder

    def bound(self, folder: Path) -> Self:
        """At home in its folder; stages whose fields `labels` and `labelers` were left empty get the pipeline's."""
        theirs = {"labels": self.labels, "labelers": self.labeler_names}

        def bind(stage: Stage) -> Stage:
            fields = type(stage).model_fields
            return stage.model_copy(update={name: value for name, value in theirs.items() if name in fields and not getattr(stage, name)})

        placed = self.model_copy(update={"stages": tuple(map(bind, self.stages))})
        placed._folder = folder
        return placed
