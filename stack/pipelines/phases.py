"""How a pipeline is cut into phases (pure): what one task does to one shard between two points where all records must be known."""

from collections.abc import Sequence
from dataclasses import dataclass

from stack.pipelines.base import DatasetStage, RecordStage, Stage
from stack.pipelines.label_stage import LabelStage


@dataclass(frozen=True)
class Phase:
    """Record stages run by one task per shard, then perhaps a dataset stage that decides over all shards.

    The first phase reads the sources. A phase that labels cuts the records anew, into shards of the label stage's size: they are
    what is committed and paid for. `name` is that of its first stage, so that a phase added before it does not make it another.
    """

    name: str
    stages: tuple[RecordStage, ...]
    closes: DatasetStage | None = None
    reads: bool = False

    @property
    def title(self) -> str:
        """`read, normalise, pii; dedup`: what progress calls it."""
        does = ", ".join([*(["read"] if self.reads else []), *(stage.kind for stage in self.stages)])
        return "; ".join(part for part in (does, self.closes.kind if self.closes else "") if part)

    @property
    def label(self) -> LabelStage | None:
        return next((stage for stage in self.stages if isinstance(stage, LabelStage)), None)

    @property
    def writes(self) -> bool:
        """Whether its tasks write records anew; one that only looks at them leaves them where they are."""
        return self.reads or bool(self.stages)


def into_phases(stages: Sequence[Stage]) -> list[Phase]:
    """In the order of the pipeline. Stages of neither kind (read, evaluate, write) do nothing to a shard."""
    phases: list[Phase] = []
    current: list[RecordStage] = []

    def end(closes: DatasetStage | None) -> None:
        kind = "read" if not phases else current[0].kind if current else closes.kind if closes else ""
        before = sum(phase.name.split("-")[0] == kind for phase in phases)
        phases.append(Phase(f"{kind}-{before + 1}" if before else kind, tuple(current), closes, reads=not phases))
        current.clear()

    for stage in stages:
        if isinstance(stage, LabelStage):
            if current or not phases:
                end(None)
            current.append(stage)
        elif isinstance(stage, RecordStage):
            current.append(stage)
        elif isinstance(stage, DatasetStage):
            end(stage)
    if current or not phases:
        end(None)
    return phases
