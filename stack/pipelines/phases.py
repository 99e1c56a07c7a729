"""How a pipeline is cut into phases (pure): what one task does to one shard between two points where all records must be known."""

from collections.abc import Sequence
from dataclasses import dataclass

from stack.pipelines.base import DatasetStage, RecordStage, Stage
from stack.pipelines.label_stage import LabelStage


@dataclass(frozen=True)
class Phase:
    """Record stages run by one task per shard, then perhaps a dataset stage that decides over all shards.

    The first phase reads the sources. A phase that labels cuts the records anew, into shards of the label stage's size: they are
    what is committed and paid for.
    """

    index: int
    stages: tuple[RecordStage, ...]
    closes: DatasetStage | None = None

    @property
    def name(self) -> str:
        """`normalise, pii; dedup`: what progress and plans call it."""
        does = ", ".join(stage.kind for stage in self.stages) or ("read" if self.index == 0 else "")
        return "; ".join(part for part in (does, self.closes.kind if self.closes else "") if part)

    @property
    def label(self) -> LabelStage | None:
        return next((stage for stage in self.stages if isinstance(stage, LabelStage)), None)

    @property
    def writes(self) -> bool:
        """Whether its tasks write records anew; one that only looks at them leaves them where they are."""
        return self.index == 0 or bool(self.stages)


def into_phases(stages: Sequence[Stage]) -> list[Phase]:
    """In the order of the pipeline. Stages of neither kind (read, evaluate, write) do nothing to a shard."""
    phases: list[Phase] = []
    current: list[RecordStage] = []
    for stage in stages:
        if isinstance(stage, LabelStage):
            if current or not phases:
                phases.append(Phase(len(phases), tuple(current)))
            current = [stage]
        elif isinstance(stage, RecordStage):
            current.append(stage)
        elif isinstance(stage, DatasetStage):
            phases.append(Phase(len(phases), tuple(current), stage))
            current = []
    if current or not phases:
        phases.append(Phase(len(phases), tuple(current)))
    return phases
