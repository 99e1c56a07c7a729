"""The search against a reference server whose capacity is known: `--max-running N` answers at a time, each of a set length."""

import json
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from conftest import Mock, StartMock

from bench.capacity import CapacityResult, SweepOptions, SweepTarget, find_capacity, parse_level, sweep_streams
from bench.capacity.plan import Sizes
from bench.workload import Workload
from stack.runtime.progress import Reporter

pytestmark = pytest.mark.slow

STACKPROOF = [sys.executable, "-m", "stack.cli.main"]
# 20 answers at a time of 860 + 14 x 10 = 1000 ms each: 20 requests/s. Long against what another load on the machine adds.
SERVER = ("--max-running", "20", "--ttft-ms", "860", "--token-interval-ms", "10")
CAPACITY = 20.0
TOKENS = 15
TAKEN_UP = 5
WORKLOAD = f"""
model: mock
arrivals: {{kind: constant, rate: 1}}
prompts: {{kind: text, text: hello, max_tokens: {TOKENS}}}
stop: {{requests: 64}}
timeout_s: 60
"""


def workload(**changes: Any) -> Workload:
    document: dict[str, Any] = {
        "name": "short",
        "model": "mock",
        "arrivals": {"kind": "constant", "rate": 1},
        "prompts": {"kind": "text", "text": "hello", "max_tokens": TOKENS},
        "stop": {"requests": 64},
        "timeout_s": 60,
    }
    return Workload.model_validate({**document, **changes})


def search(mock: Mock, out: Path, **options: Any) -> CapacityResult:
    """Evenly spaced arrivals never wait below the capacity, and ever longer above it. A sweep that a busy machine ended is taken up again."""
    chosen = SweepOptions(**{"start": 8.0, "sizes": Sizes(search_s=3.2, confirm_s=6.4), **options})
    level = parse_level("ttft_p90=1s,error_rate=0%")
    for _ in range(TAKEN_UP):
        result = find_capacity(workload(), level, target=SweepTarget(mock.url), out=out, options=chosen, reporter=Reporter(StringIO()))
        if result.stopped != "client_bound":
            break
    return result


def test_the_search_finds_the_capacity_of_a_server_that_has_one(start_mock: StartMock, tmp_path: Path) -> None:
    result = search(start_mock(*SERVER), tmp_path / "sweep")
    assert result.stopped == "found", result.why
    assert result.capacity_requests_per_s is not None
    # Within its precision; a load up to a tenth above the capacity does not show in so short a run.
    assert CAPACITY / 1.1 <= result.capacity_requests_per_s <= CAPACITY * 1.1
    confirming = [probe for probe in result.probes if probe.kind == "confirm"][-1]
    assert confirming.judgement is not None
    assert confirming.judgement.certified
    again = search(Mock(url=result.url, log=tmp_path), tmp_path / "sweep")
    assert all(probe.reused for probe in again.probes)
    assert again.capacity_requests_per_s == result.capacity_requests_per_s


def test_more_users_bring_no_more_tokens_once_the_server_is_full(start_mock: StartMock, tmp_path: Path) -> None:
    mock = start_mock("--max-running", "4", "--ttft-ms", "20", "--token-interval-ms", "5")
    options = SweepOptions(sizes=Sizes(closed_s=1.0), devices=2)
    target = SweepTarget(mock.url)
    result = sweep_streams(workload(), None, target=target, out=tmp_path / "curve", options=options, reporter=Reporter(StringIO()))
    assert result.stopped == "levelled_off"
    assert [probe.streams for probe in result.probes][:3] == [1, 2, 4]
    points = json.loads((tmp_path / "curve" / "curve.json").read_text())["points"]
    assert points[-1]["ttft_ms_p50"] > points[0]["ttft_ms_p50"]
    assert all(point["tokens_per_s_per_device"] == pytest.approx(point["output_tokens_per_s"] / 2) for point in points)


def test_ctrl_c_keeps_all_and_the_same_command_goes_on(start_mock: StartMock, tmp_path: Path) -> None:
    (tmp_path / "load.yaml").write_text(WORKLOAD)
    mock = start_mock("--ttft-ms", "20", "--token-interval-ms", "1")
    command = [*STACKPROOF, "bench", "capacity", "load.yaml", "--url", mock.url, "--slo", "ttft_p90=10s", "--start", "32", "--max", "32", "--probe", "1s"]
    command += ["--confirm", "2s", "--out", "sweep", "--json"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (tmp_path / "sweep" / "confirm-32").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    cut = json.loads(output)
    assert running.returncode == 130
    assert (cut["stopped"], cut["capacity_requests_per_s"]) == ("interrupted", None)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["stopped"], result["capacity_requests_per_s"]) == ("ceiling", 32)
    assert [probe["reused"] for probe in result["probes"]] == [True, False]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--slo"),
        (("--slo", "ttft_p99=fast"), "with its unit"),
        (("--slo", "ttft_p99=1s", "--budget", "soon"), "--budget"),
        (("--slo", "ttft_p99=1s", "--start", "5"), "cannot connect"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_status_2(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    (tmp_path / "load.yaml").write_text(WORKLOAD)
    done = subprocess.run(
        [*STACKPROOF, "bench", "capacity", "load.yaml", "--url", "http://127.0.0.1:9", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
