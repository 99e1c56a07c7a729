"""A run sends at the planned times, for every way to arrive in open loop."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import RunLoad, StartMock  # type: ignore[import-not-found]

from bench.arrivals.schedule import plan_arrivals
from bench.workload.arrivals import Closed

pytestmark = pytest.mark.slow
SEED = 11


def mooncake(folder: Path) -> dict[str, Any]:
    path = folder / "trace.jsonl"
    rows = [{"timestamp": 40 * number, "input_length": 600, "output_length": 3 + number % 4, "hash_ids": [0, number]} for number in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"kind": "trace", "file": str(path), "format": "mooncake", "speedup": 2}


@pytest.mark.parametrize(
    ("arrivals", "stop"),
    [
        ({"kind": "constant", "rate": 60}, {"requests": 60}),
        ({"kind": "gamma", "rate": 60, "shape": 0.25}, {"duration_s": 1}),
        ({"kind": "steps", "steps": [{"rate": 20, "duration_s": 0.5}, {"rate": 100, "duration_s": 0.5}]}, {}),
        ({"kind": "ramp", "from_rate": 10, "to_rate": 100, "duration_s": 1, "spacing": "constant"}, {"requests": 50}),
        ({"kind": "trace"}, {}),
    ],
    ids=lambda value: value.get("kind", "") if isinstance(value, dict) else "",
)
def test_each_request_is_due_when_the_schedule_says(
    tmp_path: Path, start_mock: StartMock, run_load: RunLoad, arrivals: dict[str, Any], stop: dict[str, Any]
) -> None:
    wanted = mooncake(tmp_path) if arrivals["kind"] == "trace" else arrivals
    run = run_load(start_mock("--ttft-ms", "2"), seed=SEED, arrivals=wanted, stop=stop, warmup={"requests": 5, "duration_s": 0.2})
    workload = run.summary.workload
    assert not isinstance(workload.arrivals, Closed)
    planned = plan_arrivals(workload.arrivals, warmup=workload.warmup, stop=workload.stop, seed=SEED)
    rows = run.samples.requests.sort_by("request")
    assert rows["intended_ns"].to_pylist() == list(planned.at_ns)
    assert rows["phase"].to_pylist() == ["warmup"] * planned.warmup + ["measured"] * (len(planned.at_ns) - planned.warmup)
    assert run.summary.requests.failed == 0
