"""The models that clients of a gateway may name, where it serves several (models; parsing only)."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from stack.evidence.record import Frozen
from stack.runtime.errors import describe_validation
from stack.serving.errors import ServingError

Task = Literal["generate", "embed"]
"""What a model is asked for: text, or vectors."""


class ListedModel(Frozen):
    id: str = Field(min_length=1, description="Public name")
    task: Task = "generate"
    owned_by: str = Field(description="Publisher")
    created: int = Field(description="Seconds since 1970 when it was put into service")
    max_model_len: int = Field(gt=0)


_MODELS = TypeAdapter(tuple[ListedModel, ...])


def write_listed(models: tuple[ListedModel, ...]) -> str:
    return _MODELS.dump_json(models, indent=2).decode() + "\n"


def read_listed(path: Path) -> tuple[ListedModel, ...]:
    """ServingError naming the file and the field."""
    try:
        return _MODELS.validate_json(path.read_bytes())
    except OSError as error:
        raise ServingError(f"list of models {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ServingError(describe_validation(error, source=str(path))) from None


def openai_list(models: tuple[ListedModel, ...]) -> dict[str, Any]:
    """The answer of GET /v1/models, as the OpenAI API has it."""
    return {"object": "list", "data": [{"object": "model", **model.model_dump(exclude={"task"})} for model in models]}
