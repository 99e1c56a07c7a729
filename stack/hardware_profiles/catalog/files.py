"""Catalog entries from YAML, the shipped ones and those of strangers (edge)."""

from collections.abc import Hashable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from stack.hardware_profiles.catalog.models import Entry
from stack.runtime.errors import StackproofError, describe_validation

MAX_BYTES = 1 << 20


class CatalogError(StackproofError):
    """A catalog entry that cannot be read, or a name that the catalog does not have."""


class _Loader(yaml.CSafeLoader):
    """SafeLoader that refuses a key given twice, where YAML's own would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice in this mapping", node.start_mark)
        return mapping


@cache
def load_catalog() -> dict[str, Entry]:
    """All accelerators that ship with the project, by name, sorted by it."""
    folder = files("stack.hardware_profiles.catalog") / "data"
    entries = (parse_entry(file.read_text(encoding="utf-8"), source=file.name) for file in folder.iterdir() if file.name.endswith(".yaml"))
    return {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}


def find_name(name: str) -> Entry:
    """CatalogError, listing the names there are, when the catalog has no such accelerator."""
    try:
        return load_catalog()[name]
    except KeyError:
        raise CatalogError(f"accelerator {name!r} is not in the catalog: choose one of {', '.join(load_catalog())}") from None


def read_entry(path: Path) -> Entry:
    """One entry from a file; CatalogError naming it when it cannot be read."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise CatalogError(f"{path}: larger than {MAX_BYTES >> 20} MiB: not a catalog entry")
    try:
        return parse_entry(content.decode(), source=str(path))
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path}: not UTF-8 text (byte {error.start})") from None


def parse_entry(text: str, *, source: str) -> Entry:
    """One entry from YAML; CatalogError in one line with `source`, the field and the mend."""
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
        if not isinstance(document, dict):
            raise CatalogError(f"{source}: not a catalog entry: it must be a mapping of fields (see `stackproof accelerators show NAME --json`)")
        return Entry.model_validate(document)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise CatalogError(f"{source}: {where}{error.problem or 'not YAML'}") from None
    except yaml.YAMLError as error:
        raise CatalogError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise CatalogError(describe_validation(error, source=source)) from None
    except (ValueError, TypeError, RecursionError) as error:  # impossible dates and keys; nesting without end
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise CatalogError(f"{source}: not readable as YAML: {reason}") from None
