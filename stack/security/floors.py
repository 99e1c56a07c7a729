"""Lowest acceptable versions, as dated data, and the comparison (parsing; logic)."""

from datetime import date
from functools import cache
from importlib.resources import files

from packaging.version import InvalidVersion, Version
from pydantic import Field

from stack.evidence.record import Frozen
from stack.runtime.yaml_input import parse_yaml
from stack.security.errors import CannotCheckError, SecurityError

TABLE = "floors.yaml"


class Floor(Frozen):
    version: str
    because: str = Field(description="Advisories of what lies below")


class FloorTable(Frozen):
    reviewed: date
    max_age_days: int = Field(gt=0)
    floors: dict[str, Floor]


@cache
def load_floors() -> FloorTable:
    """The table that ships with the project; SecurityError naming the field that is wrong."""
    text = (files("stack.security") / TABLE).read_text()
    return parse_yaml(text, FloorTable, source=TABLE, error=SecurityError)


def below(found: str, floor: str) -> bool:
    """Whether version `found` is lower; CannotCheckError for a version that is not understood."""
    try:
        return Version(found) < Version(floor)
    except InvalidVersion as error:
        raise CannotCheckError(str(error)) from None
