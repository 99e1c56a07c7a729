"""The catalog of controls: what must hold, what standards ask for it, what proves it (models; parsing).

One YAML file per target in `catalog/`. Each control names one check of `stack.security.checks`.
"""

from enum import StrEnum
from functools import cache
from importlib.resources import files

from pydantic import Field, ValidationError

from stack.evidence.record import Frozen
from stack.runtime.errors import describe_validation
from stack.runtime.yaml_input import parse_yaml
from stack.security.errors import SecurityError


class Target(StrEnum):
    """What a control is about."""

    HOST = "host"
    MODELS = "models"
    ENGINE = "engine"
    GATEWAY = "gateway"


class Mapping(Frozen):
    """Where a standard asks for the same; `verified` false when the reference was not read in the standard itself."""

    framework: str
    ids: tuple[str, ...] = Field(min_length=1)
    verified: bool


class Control(Frozen):
    id: str = Field(pattern=r"^SP-[A-Z]{2,4}-[0-9]{2}$")
    title: str
    statement: str = Field(description="What must hold, in a sentence")
    risk: str = Field(description="What goes wrong where it does not")
    mappings: tuple[Mapping, ...]
    check: str = Field(pattern=r"^[a-z_]+$", description="Name of the check that proves it")
    remediation: str
    target: Target


class _File(Frozen):
    target: Target
    controls: tuple[dict[str, object], ...]


@cache
def load_controls() -> tuple[Control, ...]:
    """All controls, by target and then in the order of their file."""
    folder = files("stack.security") / "catalog"
    return tuple(control for target in Target for control in parse_controls((folder / f"{target}.yaml").read_text(), source=f"{target}.yaml"))


def parse_controls(text: str, *, source: str) -> tuple[Control, ...]:
    """One file; SecurityError naming `source` and the field."""
    found = parse_yaml(text, _File, source=source, error=SecurityError)
    try:
        controls = tuple(Control.model_validate({**control, "target": found.target}) for control in found.controls)
    except ValidationError as error:
        raise SecurityError(describe_validation(error, source=source)) from None
    names = [control.id for control in controls]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise SecurityError(f"{source}: control ids repeat: {', '.join(repeated)}")
    return controls
