"""YAML from strangers, read within bounds: no aliases, no repeated keys, no size or depth that hurts (edge)."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from stack.proposal.errors import ProposalError
from stack.runtime.errors import describe_validation

MAX_BYTES = 1 << 20
"""A proposal of a megabyte is a mistake; the limit also bounds the time a hostile file can take."""

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


def read_bounded(path: Path) -> bytes:
    """The file's bytes, one more than the limit at most; ProposalError when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ProposalError(f"{path}: cannot be read: {error.strerror}") from None


def parse_yaml(data: bytes, model: type[Model], *, source: str) -> Model:
    """Validate YAML bytes; ProposalError in one line, beginning with `source`, for whatever is wrong with them."""
    if len(data) > MAX_BYTES:
        raise ProposalError(f"{source}: larger than {MAX_BYTES >> 20} MiB: not a file of this kind")
    try:
        loader = _StrictLoader(data.decode())
        try:
            document = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ProposalError(f"{source}: {_where(error)}") from None
    except UnicodeDecodeError as error:
        raise ProposalError(f"{source}: not UTF-8 text (byte {error.start})") from None
    except (ValueError, RecursionError) as error:  # impossible dates and numbers; nesting without end
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise ProposalError(f"{source}: not readable as YAML: {reason}") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ProposalError(describe_validation(error, source=source)) from None


def _where(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or 'not YAML'}"
    return "not YAML: " + " ".join(str(error).split())
