"""Which stages there are: those that come with the project, and those that installed packages add by entry point."""

from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any, Union

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from stack.pipelines.base import Stage
from stack.pipelines.dedup import ExactDedup, NearDedup, SemanticDedup
from stack.pipelines.errors import PipelineError
from stack.pipelines.label_stage import LabelStage
from stack.pipelines.labels.stages import Aggregate, LabelErrors
from stack.pipelines.markers import Evaluate, Read, Write
from stack.pipelines.pii import Pii
from stack.pipelines.select import Sample, Split, Take
from stack.pipelines.text import Language, Normalise, Quality

GROUP = "stackproof.pipeline_stages"

SHIPPED: tuple[type[Stage], ...] = (
    Read,
    Normalise,
    Language,
    Quality,
    Pii,
    ExactDedup,
    NearDedup,
    SemanticDedup,
    Sample,
    Take,
    LabelStage,
    Aggregate,
    LabelErrors,
    Split,
    Evaluate,
    Write,
)


@cache
def stage_classes() -> tuple[type[Stage], ...]:
    """All stages, shipped ones first. PipelineError names an entry point that is not a stage, or that takes a name which is taken."""
    classes = {kind_of(each): each for each in SHIPPED}
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        found = point.load()
        if not (isinstance(found, type) and issubclass(found, Stage)):
            raise PipelineError(f"entry point {point.name} of group {GROUP} is not a Stage: {point.value}: uninstall or mend that package")
        if classes.setdefault(kind_of(found), found) is not found:
            raise PipelineError(f"entry point {point.name} of group {GROUP}: a stage of kind {kind_of(found)!r} exists already: rename its kind")
    return tuple(classes.values())


def kind_of(stage: type[Stage]) -> str:
    """The name by which a pipeline file asks for it."""
    return str(stage.model_fields["kind"].default)


class AnyStage:
    """Marks a field that holds a stage of any known kind, told apart by `kind`."""

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(Annotated[Union[stage_classes()], Field(discriminator="kind")])  # noqa: UP007 -- made at run time
