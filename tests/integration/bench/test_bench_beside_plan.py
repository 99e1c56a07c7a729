"""A run set beside the ceilings of a plan: `stackproof plan --measured RUN`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stack.cli.main import app

pytestmark = pytest.mark.slow

MACHINE = Path(__file__).parents[2] / "data" / "machines" / "cuda.json"
PLAN = ["plan", "--inventory", str(MACHINE), "--model", "llama-3.1-8b-instruct"]


def test_a_runs_rates_stand_beside_the_ceilings_for_its_own_load(start_mock: Callable[..., Any], run_load: Callable[..., Any]) -> None:
    mock = start_mock("--ttft-ms", "20", "--token-interval-ms", "5")
    result = run_load(mock, arrivals={"kind": "concurrency", "streams": 4}, stop={"requests": 40})
    told = json.loads(CliRunner().invoke(app, [*PLAN, "--measured", str(result.out), "--json"], catch_exceptions=False).output)["beside_run"]
    decode, prefill = told
    assert decode["measured_tokens_per_s"] == pytest.approx(result.summary.rates.output_tokens_per_s)
    assert decode["ratio"] == pytest.approx(decode["measured_tokens_per_s"] / decode["predicted_tokens_per_s"])
    assert prefill["what"] == "prefill"
    text = CliRunner().invoke(app, [*PLAN, "--measured", str(result.out)], catch_exceptions=False).output
    assert "The run beside the ceilings for its load" in text


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*PLAN, "--measured", str(tmp_path)])
    assert "summary.json cannot be read" in str(result.exception)
