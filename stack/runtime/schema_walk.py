"""From the place that pydantic gives a fault to the field that a user wrote (pure).

Pydantic puts names of its own between the fields: the branch of a union that it tried, the validator around it, `[key]`.
"""

import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

KEY = "[key]"
"""Pydantic's word for the name of a mapping's member, as against what it holds."""
BRANCH = re.compile(r"[a-z-]+\[.*\]", re.DOTALL)
"""`function-after[check(), Model]`, `literal['off']`: no field is named so."""

Location = tuple[int | str, ...]


def fields_of(location: Location, model: type[BaseModel] | None = None) -> tuple[Location, tuple[str, ...]]:
    """What of a location a user wrote, and the fields that are known there; without the model only the plainest of pydantic's names are left out."""
    if model is None:
        return tuple(part for part in location if part not in (KEY, "") and not _is_branch(part)), ()
    kinds, written = list(_flat(model)), list[int | str]()
    for part in location:
        inside = [kind for each in kinds for member in _members(each, part) for kind in _flat(member)]
        if inside:
            kinds = inside
        elif part in (KEY, "") or _is_branch(part) or len(kinds) > 1:  # only a union has branches to name
            kinds = [kind for kind in kinds if _is_meant(kind, part)] or kinds
            continue
        written.append(part)
    return tuple(written), tuple(name for kind in kinds if _is_model(kind) for name in _names(kind))


def _is_branch(part: int | str) -> bool:
    return isinstance(part, str) and BRANCH.fullmatch(part) is not None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_meant(kind: Any, branch: int | str) -> bool:
    """Whether a branch is of this model: it has its name, or the word that tells the models of a union apart."""
    if not _is_model(kind):
        return False
    return re.search(rf"\b{re.escape(kind.__name__)}\b", str(branch)) is not None or any(
        branch in get_args(field.annotation) for field in kind.model_fields.values()
    )


def _flat(kind: Any) -> Iterator[Any]:
    """The alternatives of a type, without None and without what is annotated."""
    if get_origin(kind) is Annotated:
        yield from _flat(get_args(kind)[0])
    elif get_origin(kind) in (Union, types.UnionType):
        for each in get_args(kind):
            yield from _flat(each)
    elif kind is not type(None):
        yield kind


def _members(kind: Any, part: int | str) -> tuple[Any, ...]:
    """The types of a member: of a model's field, of a mapping's values, of what a sequence holds."""
    if _is_model(kind):
        return tuple(field.annotation for name, field in _names(kind).items() if name == part)
    origin, held = get_origin(kind), get_args(kind)
    if not isinstance(origin, type) or not held:
        return ()
    if issubclass(origin, Mapping):
        return () if part == KEY else held[1:]
    return tuple(each for each in held if each is not ...) if isinstance(part, int) else ()


def _names(model: type[BaseModel]) -> dict[str, Any]:
    """Fields by the name that a document gives them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}
