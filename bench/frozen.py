"""The base of every model in bench (models)."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Never changes after it is made, and takes no field it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
