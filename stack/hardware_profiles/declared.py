"""What people declare of a machine that it cannot tell of itself: a YAML file of dotted paths (edge: one file; the rest is logic)."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stack.hardware_profiles.inventory import Inventory
from stack.hardware_profiles.marks import Leaf, declared_paths, leaves, mark
from stack.runtime.errors import StackproofError, describe_validation

Scalar = str | int | float | bool
Declarations = dict[str, Scalar]

MAX_BYTES = 1 << 20
MOST_NESTED = 8
IDENTIFIERS = ("serial", "uuid", "address", "nvlink_clique")
# Values of `system` that some machines do tell, and how they show.
TOLD_ELSEWHERE: dict[str, Callable[[Inventory], str]] = {
    "system.memory_configuration": lambda found: f"{len(found.memory.dimms)} memory modules" if found.memory.dimms else "",
    "system.accelerator_interconnect": lambda found: ", ".join(sorted({link.kind for link in found.links})),
}


class DeclarationError(StackproofError):
    """A declaration that cannot be read, names nothing, or contradicts the machine."""


def load_declarations(path: Path) -> Declarations:
    """Values by dotted path. `host.product: X` and a mapping `host:` with `product: X` mean the same."""
    try:
        content = path.read_bytes()
        text = content.decode()
        found = yaml.safe_load(text) if len(content) <= MAX_BYTES else None
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path}: cannot be read: {error.strerror if isinstance(error, OSError) else 'it is no UTF-8 text'}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        place = getattr(error, "problem_mark", None)
        raise DeclarationError(f"{path}: not YAML{f' in line {place.line + 1}' if place else ''}: write lines like `system.cooling: air`") from None
    if len(content) > MAX_BYTES:
        raise DeclarationError(f"{path}: larger than 1 MiB: this is no file of declarations")
    if not isinstance(found, Mapping):
        raise DeclarationError(f"{path}: holds no mapping: write lines like `system.cooling: air`")
    return _flat(found, "", source=path)


def _flat(found: Mapping[object, object], prefix: str, *, source: Path) -> Declarations:
    flat: Declarations = {}
    for key, value in found.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path.count(".") < MOST_NESTED:
            nested = _flat(value, f"{path}.", source=source)
        elif isinstance(value, str | int | float | bool) and value != "":
            nested = {path: value}
        else:
            raise DeclarationError(f"{source}: field `{path}`: must be one text, number or truth value (quote dates), got {type(value).__name__}")
        if twice := next((name for name in nested if name in flat), None):
            raise DeclarationError(f"{source}: field `{twice}`: declared twice")
        flat |= nested
    return flat


def declare(inventory: Inventory, declarations: Declarations, *, source: str) -> Inventory:
    """The inventory with the declared values, each marked so. DeclarationError names the first that cannot be."""
    known = {leaf.path: leaf for leaf in leaves(inventory)}
    for path in declarations:
        if problem := _problem(inventory, path, known):
            raise DeclarationError(f"{source}: field `{path}`: {problem}")
    content = inventory.model_dump(mode="json")
    for path, value in declarations.items():
        *folders, last = known[path].route
        place: Any = content
        for folder in folders:
            place = place[folder]
        place[last] = value
    try:
        # As JSON: strict there allows lists for tuples, and still no text for a number.
        filled = Inventory.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        raise DeclarationError(describe_validation(error, source=source)) from None
    return mark(filled, declared_paths(inventory) | frozenset(declarations))


def _problem(inventory: Inventory, path: str, known: Mapping[str, Leaf]) -> str:
    """Why `path` cannot be declared; empty when it can."""
    leaf = known.get(path)
    if leaf is None or isinstance(leaf.value, tuple):
        return "names no single value of this inventory: the paths are those of `marks` in `stackproof inventory --json`"
    if path.rpartition(".")[2] in IDENTIFIERS:
        return "is an identifier, which only the machine tells"
    elsewhere = TOLD_ELSEWHERE.get(path)
    if elsewhere is not None and (told := elsewhere(inventory)):
        return f"is detected on this machine ({told}): take it out of the declarations"
    if inventory.marks.get(path) != "unknown":
        return f"is detected on this machine ({_shown(leaf.value)}): take it out of the declarations"
    return ""


def _shown(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
