"""Find and read pipeline files (edge): the shipped library by name, anything else by path."""

from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from stack.pipelines.base import Stage
from stack.pipelines.errors import PipelineError
from stack.pipelines.label_stage import LabelStage
from stack.pipelines.labeling.spec import Keywords, Labeler, Lexicon
from stack.pipelines.markers import Read
from stack.pipelines.spec import Pipeline
from stack.runtime.errors import describe_validation
from stack.runtime.yaml_input import parse_document, read_bounded

LIBRARY = Path(str(resources.files("stack.pipelines"))) / "library"


def shipped() -> list[str]:
    """Names of the pipelines that come with the project."""
    return sorted(path.stem for path in LIBRARY.glob("*.yaml"))


def load_pipeline(name_or_path: str) -> Pipeline:
    """A validated pipeline with absolute source paths and lexicon files read in; PipelineError naming file and field."""
    path = Path(name_or_path)
    if name_or_path in shipped():
        path = LIBRARY / f"{name_or_path}.yaml"
    elif not path.is_file():
        raise PipelineError(f"pipeline {name_or_path!r} is neither a file nor one of the shipped pipelines: {', '.join(shipped())}")
    folder = path.resolve().parent
    try:
        pipeline = Pipeline.model_validate(read_yaml(path))
        resolved = pipeline.model_copy(update={"stages": tuple(_resolve(stage, folder) for stage in pipeline.stages)})
        # Once more: the lexicon files have brought labels that the first look could not see.
        return Pipeline.model_validate(resolved.model_dump()).bound(folder)
    except ValidationError as error:
        raise PipelineError(describe_validation(error, source=path.name)) from None


def read_yaml(path: Path) -> Any:
    """The file's one document; PipelineError with the line of a syntax fault."""
    return parse_document(read_bounded(path, error=PipelineError), source=path.name, error=PipelineError)


def _resolve(stage: Stage, folder: Path) -> Stage:
    if isinstance(stage, Read):
        return stage.model_copy(update={"sources": tuple(source.model_copy(update={"path": _absolute(source.path, folder)}) for source in stage.sources)})
    if isinstance(stage, LabelStage):
        return stage.model_copy(update={"labelers": tuple(_with_lexicon(labeler, folder) for labeler in stage.labelers)})
    return stage


def _absolute(path: str, folder: Path) -> str:
    return path if "://" in path else str(folder / path)


def _with_lexicon(labeler: Labeler, folder: Path) -> Labeler:
    if not isinstance(labeler, Keywords) or isinstance(labeler.lexicon, dict):
        return labeler
    path = folder / labeler.lexicon
    try:
        lexicon: dict[str, tuple[str, ...]] = TypeAdapter(Lexicon).validate_python(read_yaml(path))
    except ValidationError as error:
        raise PipelineError(describe_validation(error, source=path.name)) from None
    return labeler.model_copy(update={"lexicon": lexicon})
