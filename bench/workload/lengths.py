"""How many tokens, turns or seconds: a number, or a distribution to draw from (models)."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from bench.frozen import Frozen


class Uniform(Frozen):
    """Every whole number from `min` to `max` is equally likely."""

    kind: Literal["uniform"]
    min: int = Field(ge=1)
    max: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError("max must not be less than min")
        return self


class LogNormal(Frozen):
    """exp(Normal(ln `median`, `sigma`)), rounded to a whole number and clipped to `min` and `max`."""

    kind: Literal["lognormal"]
    median: float = Field(gt=0, allow_inf_nan=False)
    sigma: float = Field(ge=0, le=5, description="Standard deviation of the logarithm")
    min: int = Field(default=1, ge=1)
    max: int = Field(default=1_000_000, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError("max must not be less than min")
        return self


Fixed = Annotated[int, Field(ge=1, le=10_000_000)]


def _form(given: Any) -> str:
    """A plain number has no name of its own, so that an error names the field and nothing below it."""
    kind = given.get("kind", "kind") if isinstance(given, dict) else getattr(given, "kind", "")
    return str(kind)


Length = Annotated[Annotated[Fixed, Tag("")] | Annotated[Uniform, Tag("uniform")] | Annotated[LogNormal, Tag("lognormal")], Discriminator(_form)]
