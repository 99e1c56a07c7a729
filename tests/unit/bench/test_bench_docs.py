"""Each figure that is published is defined in docs/metrics.md."""

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from bench.results.samples import REQUEST_SCHEMA
from bench.results.summary import Summary

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
ELSEWHERE = {"workload", "tool", "slo", "system", "quality", "calibration"}
"""Whose fields have a page, a schema or a module of their own."""


def models(kind: object) -> Iterator[type[BaseModel]]:
    """The models inside an annotation."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in typing.get_args(kind):
        yield from models(inner)


def fields(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, str]]:
    """Dotted place and name of each field, those of inner models too."""
    for name, field in model.model_fields.items():
        yield f"{place}{name}", name
        if name not in ELSEWHERE:
            for inner in models(field.annotation):
                yield from fields(inner, f"{place}{name}.")


@pytest.mark.parametrize("name", sorted({name for _, name in fields(Summary)}))
def test_a_field_of_the_summary_is_defined_on_the_page(name: str) -> None:
    places = [place for place, each in fields(Summary) if each == name]
    assert re.search(rf"`(?:[a-z_]+\.)*{name}`", PAGE), f"docs/metrics.md does not define {places}"


@pytest.mark.parametrize("tool", ["vllm", "guidellm", "aiperf"])
def test_each_column_of_another_tool_has_its_formula(tool: str) -> None:
    (compat,) = models(Summary.model_fields["compat"].annotation)
    (columns,) = models(compat.model_fields[tool].annotation)
    for name in columns.model_fields:
        assert f"| `compat.{tool}.{name}` |" in PAGE


@pytest.mark.parametrize("name", [name for name in REQUEST_SCHEMA.names if name.endswith("_ns")])
def test_a_stamp_is_defined_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE
