"""The schema of summary.json accepts what a run writes, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from bench_kit import request, workload, write
from jsonschema import Draft202012Validator

from bench.results.metrics import summarize
from bench.results.schema import summary_schema


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = summary_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("loop", [{"kind": "poisson", "rate": 10}, {"kind": "concurrency", "streams": 2}])
@pytest.mark.parametrize("count", [1, 80])
def test_what_a_run_writes_fits_its_schema(tmp_path: Path, validator: Draft202012Validator, count: int, loop: dict[str, Any]) -> None:
    made = [request(index) for index in range(count)]
    made[0] |= {"completion_tokens": None, "prompt_tokens": None}
    summary = summarize(write(tmp_path, made, workload(arrivals=loop, slo={"ttft_ms": 60})))
    validator.validate(json.loads(summary.model_dump_json()))


@pytest.mark.parametrize(("path", "value"), [(("valid",), "yes"), (("metrics", "ttft_ms", "p50"), "fast"), (("requests", "sent"), None), (("extra",), 1)])
def test_what_is_not_a_summary_does_not_fit(tmp_path: Path, validator: Draft202012Validator, path: tuple[str, ...], value: object) -> None:
    document = inner = json.loads(summarize(write(tmp_path, [request(0)])).model_dump_json())
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert not validator.is_valid(document)


def test_every_metric_is_required_and_most_fields_say_what_they_are() -> None:
    schema = summary_schema()
    assert {"valid", "invalid_reasons", "requests", "rates", "metrics", "client", "workload", "seed", "tool"} <= set(schema["required"])
    assert set(schema["$defs"]["Metrics"]["required"]) >= {"ttft_ms", "tpot_ms", "e2e_ms", "send_lag_ms"}
    assert "core" in schema["$defs"]["ClientFigures"]["properties"]["cpu_share"]["description"]
