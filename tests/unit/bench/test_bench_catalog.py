"""One schema drives the file, the ready workloads and the page that describes them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from bench import load_workload, ready_workloads
from bench.arrivals.schedule import plan_arrivals
from bench.workload.arrivals import Closed
from bench.workload.files import CATALOG
from bench.workload.models import Workload
from bench.workload.schema import workload_schema
from bench.workload.slo import PRESETS
from stack.cli.main import app

PAGE = (Path(__file__).parents[3] / "docs" / "workloads.md").read_text()
READY = ready_workloads()
SMALLEST: dict[str, Any] = {
    "model": "mock",
    "arrivals": {"kind": "concurrency", "streams": 64},
    "prompts": {"kind": "text", "text": "hello", "max_tokens": 128},
    "stop": {"requests": 256},
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = workload_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


# Ready workloads


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_a_ready_workload_is_valid_says_what_it_is_for_and_stands_on_the_page(path: Path, validator: Draft202012Validator) -> None:
    assert load_workload(path).name == path.stem
    assert load_workload(path.stem, model="any").model == "any"
    assert path.read_text().startswith("# ")
    assert f"`{path.stem}`" in PAGE
    validator.validate(yaml.load(path.read_text(), yaml.CSafeLoader))


@pytest.mark.parametrize("path", [path for path in READY if load_workload(path).open_loop], ids=lambda path: path.stem)
def test_a_ready_open_loop_workload_plans_arrivals_to_measure(path: Path) -> None:
    workload = load_workload(path)
    assert not isinstance(workload.arrivals, Closed)
    planned = plan_arrivals(workload.arrivals, warmup=workload.warmup, stop=workload.stop, seed=1)
    assert len(planned.at_ns) - planned.warmup >= 20
    if path.stem.endswith("-gpu"):
        assert len(planned.at_ns) - planned.warmup >= 662, "p99 can be certified"
    else:
        assert planned.at_ns[-1] < 200e9, "a few minutes on a CPU"


def test_there_is_a_ready_workload_for_each_way_to_arrive_and_each_trace_in_both_sizes() -> None:
    names = {path.stem for path in READY}
    sizes = ("constant", "poisson", "bursty", "steps", "ramp", "streams-steps", "trace-azure-conv", "trace-azure-code", "trace-mooncake")
    assert names >= {f"{name}{size}" for name in sizes for size in ("", "-gpu")}
    assert {load_workload(path).arrivals.kind for path in READY} == set(workload_schema()["properties"]["arrivals"]["discriminator"]["mapping"])


def test_nothing_in_the_catalog_is_large() -> None:
    assert all(path.stat().st_size < 200_000 for path in CATALOG.rglob("*") if path.is_file())


# The schema


def test_the_smallest_file_fits_the_schema(validator: Draft202012Validator) -> None:
    validator.validate(SMALLEST)
    validator.validate({**SMALLEST, "arrivals": {"kind": "poisson", "rate": 300}})


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("arrivals", {"kind": "poisson", "rate": -3}),
        ("arrivals", {"kind": "poisson", "rate": 3, "streams": 1}),
        ("arrivals", {"kind": "wishful"}),
        ("arrivals", {"kind": "trace", "file": "x", "format": "excel"}),
        ("prompts", {"kind": "text", "text": "hello", "max_tokens": 0}),
        ("slo", "mlperf-abacus"),
        ("stop", {"requests": 0}),
        ("colour", "red"),
    ],
)
def test_what_the_loader_refuses_in_one_field_the_schema_refuses_too(validator: Draft202012Validator, section: str, value: Any) -> None:
    document = {**SMALLEST, section: value}
    assert not validator.is_valid(document)
    with pytest.raises(ValueError, match=section):
        Workload.model_validate(document)


@pytest.mark.parametrize("slo", [*PRESETS, {"ttft_ms": 5}, None])
def test_a_service_level_is_a_preset_limits_or_none_in_schema_and_loader_alike(validator: Draft202012Validator, slo: Any) -> None:
    validator.validate({**SMALLEST, "slo": slo})
    Workload.model_validate({**SMALLEST, "slo": slo})


@pytest.mark.parametrize(("of", "title"), [([], "stackproof workload"), (["workload"], "stackproof workload"), (["summary"], "stackproof.bench/v1 summary")])
def test_the_command_prints_a_schema_as_json(of: list[str], title: str) -> None:
    result = CliRunner().invoke(app, ["bench", "schema", *of])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == title


# The page


def fields() -> dict[str, list[str]]:
    """Each field that a file may have, and the models that have it."""
    schema = workload_schema()
    found: dict[str, list[str]] = {}
    for model, inner in {"Workload": schema, **schema["$defs"]}.items():
        for name in inner.get("properties", {}):
            found.setdefault(name, []).append(model)
    return found


@pytest.mark.parametrize(("name", "models"), fields().items(), ids=fields())
def test_a_field_of_the_file_is_described_on_the_page(name: str, models: list[str]) -> None:
    assert re.search(rf"`(?:[a-z_]+\.)*{name}`", PAGE), f"docs/workloads.md does not describe {name} of {models}"


def kinds() -> list[str]:
    parts = workload_schema()["properties"]
    return sorted({kind for part in ("arrivals", "prompts") for kind in parts[part]["discriminator"]["mapping"]})


@pytest.mark.parametrize("kind", kinds())
def test_a_kind_of_arrivals_or_prompts_is_described_on_the_page(kind: str) -> None:
    assert f"`{kind}`" in PAGE


def test_examples_on_the_page_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        Workload.model_validate({**SMALLEST, **yaml.load(block, yaml.CSafeLoader)})
