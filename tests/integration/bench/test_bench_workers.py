"""Several workers send what one would have sent, and none of them dies unnoticed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Mock, RunLoad, StartMock  # type: ignore[import-not-found]

from bench import BenchError, Summary, Workload
from bench.load.crew import Crew
from bench.publish import recover_run
from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import read_samples
from bench.run import RunOptions, Watching, run_workload
from stack.runtime.progress import Reporter

pytestmark = pytest.mark.slow

LONG = "{model: mock, arrivals: {kind: concurrency, streams: 8}, prompts: {kind: text, text: hello, max_tokens: 16}, stop: {requests: 100000}}"
POISSON = {"arrivals": {"kind": "poisson", "rate": 100}, "stop": {"requests": 60}, "warmup": {"requests": 5}}


def run(mock: Mock, out: Path, crew: Crew, **fields: Any) -> Summary:
    document = {"name": "shared", "model": "mock", "prompts": {"kind": "text", "text": "hello", "max_tokens": 4}, "timeout_s": 30}
    options = RunOptions(crew=crew, watching=Watching(on=False), report=False)
    return run_workload(Workload.model_validate({**document, **fields}), url=mock.url, out=out, seed=5, reporter=Reporter(StringIO()), options=options)


def sent(out: Path) -> list[tuple[int, int, str]]:
    """Number, intended time and phase of each request."""
    rows = read_samples(out / REQUESTS, out / TOKENS).requests
    return list(zip(rows["request"].to_pylist(), rows["intended_ns"].to_pylist(), rows["phase"].to_pylist(), strict=True))


def test_three_workers_send_the_same_requests_at_the_same_times_as_one(start_mock: StartMock, tmp_path: Path) -> None:
    mock = start_mock("--ttft-ms", "10", "--token-interval-ms", "1")
    alone = run(mock, tmp_path / "alone", Crew(), **POISSON)
    shared = run(mock, tmp_path / "shared", Crew(workers=3), **POISSON)
    assert sent(tmp_path / "alone") == sent(tmp_path / "shared")
    assert (alone.requests.ok, shared.requests.ok, shared.requests.warmup) == (60, 60, 5)
    info = read_samples(tmp_path / "shared" / REQUESTS, tmp_path / "shared" / TOKENS)
    assert [worker.worker for worker in info.run.workers] == [0, 1, 2]
    # One machine has one monotonic clock: there is nothing to measure.
    assert {(worker.clock_offset_ns, worker.clock_uncertainty_ns) for worker in info.run.workers} == {(0, 0)}
    assert sorted(set(info.requests["worker"].to_pylist())) == [0, 1, 2]
    assert not [path.name for path in (tmp_path / "shared").iterdir() if path.name.startswith(".")]


def test_workers_share_the_streams_of_a_closed_loop(start_mock: StartMock, tmp_path: Path) -> None:
    mock = start_mock("--ttft-ms", "10", "--token-interval-ms", "1")
    summary = run(mock, tmp_path, Crew(workers=2), arrivals={"kind": "concurrency", "streams": 5}, stop={"requests": 41})
    assert (summary.requests.sent, summary.requests.ok) == (41, 41)
    assert [number for number, _, _ in sent(tmp_path)] == list(range(41))


def test_workers_run_on_a_ray_cluster(start_mock: StartMock, tmp_path: Path) -> None:
    """As a command: a process can be connected to one cluster only, and other tests have theirs."""
    mock = start_mock("--ttft-ms", "10", "--token-interval-ms", "1")
    load = "{model: mock, arrivals: {kind: poisson, rate: 100}, prompts: {kind: text, text: x, max_tokens: 4}, stop: {requests: 60}, warmup: {requests: 5}}"
    (tmp_path / "load.yaml").write_text(load)
    command = [sys.executable, "-m", "stack.cli.main", "bench", "run", "load.yaml", "--url", mock.url, "--out", "run", "--json"]
    done = subprocess.run([*command, "--workers", "2", "--engine", "ray"], check=False, cwd=tmp_path, capture_output=True, timeout=120)
    summary = json.loads(done.stdout)
    assert (summary["state"], summary["requests"]["ok"]) == ("complete", 60)
    assert [number for number, _, _ in sent(tmp_path / "run")] == list(range(65))


def test_more_workers_than_streams_are_refused(start_mock: StartMock, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"--workers 9: more than field `arrivals\.streams`"):
        run(start_mock(), tmp_path, Crew(workers=9), arrivals={"kind": "concurrency", "streams": 5}, stop={"requests": 41})


def stackproof(place: Path, *arguments: str) -> subprocess.Popen[bytes]:
    (place / "load.yaml").write_text(LONG)
    command = [sys.executable, "-m", "stack.cli.main", "bench", "run", "load.yaml", "--out", "cut", "--json", *arguments]
    return subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answered(mock: Mock, count: int) -> Callable[[], bool]:
    return lambda: mock.log.exists() and mock.log.read_text().count("\n") >= count


def test_a_worker_that_is_killed_ends_the_run_marked_with_what_all_had_flushed(start_mock: StartMock, tmp_path: Path) -> None:
    mock = start_mock("--ttft-ms", "10", "--token-interval-ms", "1")
    running = stackproof(tmp_path, "--url", mock.url, "--workers", "2")
    wait_for(answered(mock, 200))
    workers = [child for child in psutil.Process(running.pid).children(recursive=True) if child.cmdline()[1:3] == ["-m", "bench.load.worker"]]
    assert len(workers) == 2
    workers[0].kill()
    summary = json.loads(running.communicate(timeout=60)[0])
    assert running.returncode == 1
    assert (summary["state"], summary["valid"]) == ("worker_lost", False)
    assert "a worker died" in summary["invalid_reasons"][0]
    rows = read_samples(tmp_path / "cut" / REQUESTS, tmp_path / "cut" / TOKENS).requests
    assert sorted(set(rows["worker"].to_pylist())) == [0, 1]
    assert summary["requests"]["ok"] >= 100


def test_a_run_that_is_killed_is_recovered_and_leaves_no_process(start_mock: StartMock, tmp_path: Path) -> None:
    mock = start_mock("--ttft-ms", "10", "--token-interval-ms", "1")
    running = stackproof(tmp_path, "--url", mock.url, "--workers", "2")
    wait_for(answered(mock, 200))
    family = psutil.Process(running.pid).children(recursive=True)
    time.sleep(0.5)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate(timeout=30)
    assert psutil.wait_procs(family, timeout=30)[1] == []
    summary = recover_run(tmp_path / "cut", reporter=Reporter(StringIO()))
    assert (summary.state, summary.valid) == ("interrupted", False)
    assert "recovered" in summary.invalid_reasons[0]
    assert summary.requests.ok >= 100
    with pytest.raises(BenchError, match="no unfinished run"):
        recover_run(tmp_path / "cut", reporter=Reporter(StringIO()))


def test_a_new_run_moves_an_unread_one_aside(start_mock: StartMock, tmp_path: Path) -> None:
    mock = start_mock("--ttft-ms", "10", "--token-interval-ms", "1")
    running = stackproof(tmp_path, "--url", mock.url)
    wait_for(answered(mock, 100))
    time.sleep(0.5)
    running.kill()
    running.communicate(timeout=30)
    run(mock, tmp_path / "cut", Crew(), **POISSON)
    assert recover_run(tmp_path / "cut" / "unfinished-1", reporter=Reporter(StringIO())).requests.ok >= 50


def test_a_disk_that_fills_up_ends_the_run_marked_with_what_was_written(start_mock: StartMock, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    mock = start_mock("--ttft-ms", "5", "--token-interval-ms", "1")
    (tmp_path / "load.yaml").write_text(LONG)
    command = f"ulimit -f 400; exec {sys.executable} -m stack.cli.main bench run load.yaml --out cut --json --no-watch --url {mock.url}"
    done = subprocess.run(["bash", "-c", command], check=False, cwd=tmp_path, capture_output=True, timeout=60)
    summary = json.loads(done.stdout)
    assert done.returncode == 1
    assert (summary["state"], summary["valid"]) == ("disk_full", False)
    assert "the disk was full" in summary["invalid_reasons"][0]
    assert summary["requests"]["ok"] >= 20


def test_a_run_stops_when_its_mean_is_known_well_enough(start_mock: StartMock, run_load: RunLoad) -> None:
    mock = start_mock("--ttft-ms", "20", "--token-interval-ms", "1")
    stop = {"requests": 100_000, "precision": {"metric": "e2e_ms", "relative_half_width": 0.3, "min_requests": 60}}
    summary = run_load(mock, stop=stop).summary
    assert summary.state == "complete"
    assert 60 <= summary.requests.ok < 100_000
    assert summary.requests.cancelled == 0


def test_what_is_not_over_when_the_drain_ends_is_cancelled(start_mock: StartMock, run_load: RunLoad) -> None:
    mock = start_mock("--ttft-ms", "20", "--token-interval-ms", "400")
    summary = run_load(mock, stop={"requests": 4}, drain={"timeout_s": 0.5}).summary
    assert (summary.state, summary.requests.sent, summary.requests.cancelled) == ("complete", 4, 4)


def test_a_cap_charges_the_wait_to_the_server_and_drops_nothing(start_mock: StartMock, run_load: RunLoad) -> None:
    """Frozen half of the time: what waits for a place counts from when it should have been sent, as the server's log shows."""
    mock = start_mock("--ttft-ms", "20", "--token-interval-ms", "2", "--freeze-every-s", "1", "--freeze-s", "0.5")
    result = run_load(mock, arrivals={"kind": "constant", "rate": 40, "max_in_flight": 2}, stop={"requests": 80})
    rows = {row["request"]: row for row in result.samples.requests.to_pylist()}
    assert result.summary.requests.ok == 80
    true_ms = [
        (line["emitted_ns"][0] - result.samples.run.started_ns - rows[int(key.rpartition("-")[2])]["intended_ns"]) / 1e6 for key, line in mock.truth().items()
    ]
    told = result.summary.metrics
    assert told.ttft_ms.mean == pytest.approx(sum(true_ms) / len(true_ms), rel=0.05)
    assert told.ttft_from_sent_ms.mean is not None
    assert told.ttft_ms.mean is not None
    assert told.ttft_ms.mean > told.ttft_from_sent_ms.mean + 50
    in_flight = sorted([(row["sent_ns"], 1) for row in rows.values()] + [(row["closed_ns"], -1) for row in rows.values()], key=lambda event: event)
    level = most = 0
    for _, change in in_flight:
        level += change
        most = max(most, level)
    assert most == 2


def test_a_load_generator_that_runs_out_of_files_says_so_and_blames_itself(start_mock: StartMock, tmp_path: Path) -> None:
    mock = start_mock("--ttft-ms", "2000")
    load = "{model: mock, arrivals: {kind: poisson, rate: 1000}, prompts: {kind: text, text: x, max_tokens: 2}, stop: {requests: 1500}}"
    (tmp_path / "load.yaml").write_text(load)
    command = f"ulimit -n 400; exec {sys.executable} -m stack.cli.main bench run load.yaml --out run --json --no-watch --url {mock.url}"
    done = subprocess.run(["bash", "-c", command], check=False, cwd=tmp_path, capture_output=True, timeout=60)
    summary = json.loads(done.stdout)
    assert done.returncode == 1
    assert summary["requests"]["by_class"]["client_limit"] >= 1
    assert any("no file or port left" in reason for reason in summary["invalid_reasons"])
