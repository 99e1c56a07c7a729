"""Catalog entries from YAML, the shipped ones and those of strangers (edge)."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stack.hardware_profiles.catalog.models import Entry
from stack.runtime.errors import StackproofError, describe_validation
from stack.runtime.yaml_input import parse_mapping, read_bounded


class CatalogError(StackproofError):
    """A catalog entry that cannot be read, or a name that the catalog does not have."""


@cache
def load_catalog() -> dict[str, Entry]:
    """All accelerators that ship with the project, by name, sorted by it."""
    folder = files("stack.hardware_profiles.catalog") / "data"
    # Our own files: the C loader reads them ten times faster, and none of them is hostile.
    entries = (_entry(yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader), source=file.name) for file in folder.iterdir() if file.name.endswith(".yaml"))
    return {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}


def find_name(name: str) -> Entry:
    """CatalogError, listing the names there are, when the catalog has no such accelerator."""
    try:
        return load_catalog()[name]
    except KeyError:
        raise CatalogError(f"accelerator {name!r} is not in the catalog: choose one of {', '.join(load_catalog())}") from None


def read_entry(path: Path) -> Entry:
    """One entry from a file; CatalogError naming it when it cannot be read."""
    return parse_entry(read_bounded(path, error=CatalogError), source=str(path))


def parse_entry(data: bytes | str, *, source: str) -> Entry:
    """One entry from YAML; CatalogError in one line with `source`, the field and the mend."""
    holds = "the fields of a catalog entry (see `stackproof accelerators show NAME --json`)"
    return _entry(parse_mapping(data, source=source, holds=holds, error=CatalogError), source=source)


def _entry(document: Any, *, source: str) -> Entry:
    try:
        return Entry.model_validate(document)
    except ValidationError as error:
        raise CatalogError(describe_validation(error, source=source)) from None
