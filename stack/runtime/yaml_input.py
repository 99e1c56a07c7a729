"""YAML from strangers, read within bounds: no aliases, no repeated keys, no size or depth that hurts (edge).

PyYAML's C loader is not used: a file of a million brackets ends the process with it.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from stack.runtime.errors import StackproofError, describe_validation

MAX_BYTES = 1 << 20
"""A configuration of a megabyte is a mistake; the limit also bounds the time a hostile file can take."""

Model = TypeVar("Model", bound=BaseModel)


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without aliases (they multiply: the "billion laughs") and without silently overridden keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not accepted: write the value out", self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key is given twice in this mapping", node.start_mark)
        return mapping


def read_bounded(path: Path, *, error: type[StackproofError] = StackproofError) -> bytes:
    """The file's bytes, one more than the limit at most; `error` when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror}") from None


def parse_document(data: bytes | str, *, source: str, error: type[StackproofError] = StackproofError) -> Any:
    """The one document in YAML bytes; `error` in one line, beginning with `source`, for whatever is wrong with them."""
    if len(data) > MAX_BYTES:
        raise error(f"{source}: larger than {MAX_BYTES >> 20} MiB: not a file of this kind")
    try:
        loader = _StrictLoader(data if isinstance(data, str) else data.decode())
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as fault:
        raise error(f"{source}: {_where(fault)}") from None
    except UnicodeDecodeError as fault:
        raise error(f"{source}: not UTF-8 text (byte {fault.start})") from None
    except (ValueError, TypeError, RecursionError) as fault:  # impossible dates, numbers and keys; nesting without end
        reason = "nested too deeply" if isinstance(fault, RecursionError) else str(fault).splitlines()[0]
        raise error(f"{source}: not readable as YAML: {reason}") from None


def parse_yaml(data: bytes | str, model: type[Model], *, source: str, error: type[StackproofError] = StackproofError) -> Model:
    """`parse_document`, and the model it must be."""
    document = parse_document(data, source=source, error=error)
    try:
        return model.model_validate(document)
    except ValidationError as fault:
        raise error(describe_validation(fault, source=source, model=model)) from None


def parse_mapping(data: bytes | str, *, source: str, holds: str, error: type[StackproofError] = StackproofError) -> dict[str, Any]:
    """`parse_document` of what must be one mapping with text keys; `holds` names what should be in it."""
    document = parse_document(data, source=source, error=error)
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise error(f"{source}: must hold one mapping with {holds}")
    return document


def _where(fault: yaml.YAMLError) -> str:
    if isinstance(fault, yaml.MarkedYAMLError) and fault.problem_mark is not None:
        syntax = "not YAML: " if isinstance(fault, yaml.scanner.ScannerError | yaml.parser.ParserError) else ""
        return f"line {fault.problem_mark.line + 1}: {syntax}{fault.problem}"
    return "not YAML: " + " ".join(str(fault).split())
