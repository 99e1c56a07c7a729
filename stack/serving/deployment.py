"""What a site serves: one file that names models, how many engines each has, and what is being tried (models; parsing only)."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from stack.evidence.record import Frozen
from stack.runtime.yaml_input import parse_yaml, read_bounded
from stack.serving.errors import ServingError
from stack.serving.listed import Task

MOST_ENGINES = 64
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"


class Variant(Frozen):
    """Engines of one plan."""

    model: str = Field(min_length=1, description="Name in the catalog of models")
    replicas: int = Field(default=1, ge=1, le=MOST_ENGINES, description="Engines, each with the whole model")
    max_model_len: int | None = Field(default=None, gt=0, description="Shorten the context to this many tokens")
    enforce_eager: bool = Field(default=False, description="Start without compiling the model: sooner ready the first time, slower ever after")


class Canary(Variant):
    """Engines that answer a share of the requests in place of the others."""

    percent: float = Field(ge=0, le=100, description="Of the requests; 0 for those alone that ask for it with `x-canary: always`")


class DeployedModel(Variant):
    name: str | None = Field(default=None, pattern=NAME_PATTERN, description="By which clients ask for it; the catalog's by default")
    task: Task = Field(default="generate", description="`embed`: vectors, at /v1/embeddings")
    canary: Canary | None = None

    @property
    def public_name(self) -> str:
        return self.name or self.model


class Deployment(Frozen):
    """The models of one gateway."""

    version: Literal[1] = 1
    models: tuple[DeployedModel, ...] = Field(min_length=1)
    restart: Literal["surge", "in-turn"] | None = Field(
        default=None,
        description="Of a model's only engine: `surge` starts the new one beside it or none at all, `in-turn` stops it first; null: beside it where that fits",
    )

    @property
    def engines(self) -> int:
        return sum(each.replicas + (each.canary.replicas if each.canary else 0) for each in self.models)

    @property
    def by_model(self) -> bool:
        """Whether the gateway has to look at the model that a request names."""
        return len(self.models) > 1 or self.models[0].canary is not None

    @field_validator("models")
    @classmethod
    def _distinct(cls, models: tuple[DeployedModel, ...]) -> tuple[DeployedModel, ...]:
        names = [each.public_name for each in models]
        if len(set(names)) != len(names):
            raise ValueError("two models have the same name: give one a `name` of its own")
        return models

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if self.engines > MOST_ENGINES:
            raise ValueError(f"{self.engines} engines in all: at most {MOST_ENGINES}")
        return self


def load_deployment(path: Path) -> Deployment:
    """ServingError naming the field that is wrong."""
    return parse_yaml(read_bounded(path, error=ServingError), Deployment, source=str(path), error=ServingError)
