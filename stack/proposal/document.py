"""A proposal file: what the consortium states and what it claims (models)."""

import math
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from stack.evidence.record import Frozen

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000)]
FigureName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*/[a-z0-9_.]+$")]
"""<record kind>/<figure name>"""
Scalar = bool | int | float | str
Statement = Literal["us_manufacture", "target_markets", "operating_model", "incentives", "compliance"]


class Member(Frozen):
    name: Text
    role: Text
    country: Text | None = None


class Consortium(Frozen):
    """Declared, never checked by this tool."""

    name: Text
    anchor: Text = Field(description="The member that leads and submits")
    members: tuple[Member, ...] = ()


class OperatingModel(Frozen):
    """Who does what with data centers and infrastructure."""

    build: Text
    own: Text
    operate: Text


class Claim(Frozen):
    """A sentence that holds or does not, by one figure of the evidence and a bound: a value, or another figure."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    statement: Text
    figure: FigureName
    where: dict[str, Scalar] = Field(default_factory=dict, description="Picks among records of the kind: dotted configuration key -> value")
    op: Literal["<=", ">=", "=="]
    value: Scalar | None = None
    against: FigureName | None = Field(default=None, description="Figure that is the bound, in place of a value")
    unit: str = ""
    needs: Literal["measured", "computed", "any"] = Field(
        default="measured", description="Class the figures must have: `computed` also takes measured ones, `any` also published and declared ones"
    )

    @field_validator("value")
    @classmethod
    def _finite(cls, value: Scalar | None) -> Scalar | None:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("must be finite")
        return value

    @model_validator(mode="after")
    def _one_bound(self) -> "Claim":
        if (self.value is None) == (self.against is None):
            raise ValueError("give either `value` or `against`")
        return self


class Proposal(Frozen):
    """Every statement may be absent; then the dossier shows it as missing."""

    title: Text
    consortium: Consortium | None = None
    us_manufacture: Text | None = Field(default=None, description="Whether and to what extent the hardware layer is made in the United States")
    target_markets: tuple[Text, ...] = Field(default=(), description="Countries or regional blocs")
    operating_model: OperatingModel | None = None
    incentives: tuple[Text, ...] = Field(default=(), description="Federal incentives and support asked for")
    compliance: Text | None = Field(default=None, description="Export controls, outbound investment and end-user policy")
    claims: tuple[Claim, ...] = ()
    limits: tuple[Text, ...] = Field(default=(), description="What the proposer says the evidence does not show")

    @field_validator("claims")
    @classmethod
    def _unique_ids(cls, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
        ids = [claim.id for claim in claims]
        if len(ids) != len(set(ids)):
            raise ValueError(f"claim ids repeat: {sorted({name for name in ids if ids.count(name) > 1})}")
        return claims

    def statement(self, field: Statement) -> tuple[str, ...]:
        """The statement's sentences; empty when it is absent."""
        value = getattr(self, field)
        if isinstance(value, OperatingModel):
            return (f"Builds: {value.build}", f"Owns: {value.own}", f"Operates: {value.operate}")
        if isinstance(value, str):
            return (value,)
        return tuple(value or ())
