"""`stackproof bench` as a person meets it: a table, JSON, one line for each mistake, and a clean stop."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Mock, StartMock  # type: ignore[import-not-found]

from bench.evidence import recompute
from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import read_samples
from stack.evidence import EvidenceStore
from stack.runtime.net import free_port

pytestmark = pytest.mark.slow

WORKLOAD = "{model: mock, arrivals: {kind: concurrency, streams: 4}, prompts: {kind: text, text: hello, max_tokens: 16}, stop: {requests: 12}}"
STACKPROOF = [sys.executable, "-m", "stack.cli.main"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with the workload, and keys of its own."""
    (tmp_path / "load.yaml").write_text(WORKLOAD)
    monkeypatch.setenv("STACKPROOF_CONFIG", str(tmp_path / "config"))
    return tmp_path


def stackproof(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*STACKPROOF, *arguments], check=False, cwd=place, capture_output=True, text=True, timeout=60)


def bench(place: Path, mock: Mock, *arguments: str, workload: str = "load.yaml") -> subprocess.CompletedProcess[str]:
    return stackproof(place, "bench", "run", workload, "--url", mock.url, *arguments)


def test_json_is_the_published_contract_and_the_only_thing_on_stdout(place: Path, start_mock: StartMock) -> None:
    done = bench(place, start_mock(), "--json", "--seed", "5", "--out", "here")
    summary = json.loads(done.stdout)
    assert {"valid", "invalid_reasons", "requests", "rates", "metrics", "client", "workload", "seed", "tool"} <= summary.keys()
    assert {"sent", "ok", "failed", "by_class"} <= summary["requests"].keys()
    assert summary["rates"].keys() == {"requests_per_s", "output_tokens_per_s", "input_tokens_per_s", "offered_requests_per_s"}
    names = {"ttft_ms", "ttft_from_sent_ms", "tpot_ms", "chunk_gap_ms", "itl_ms", "e2e_ms", "e2e_closed_ms", "send_lag_ms"}
    assert names <= summary["metrics"].keys()
    for name in names:
        assert {"count", "mean", "p50", "p90", "p95", "p99", "min", "max", "certified"} <= summary["metrics"][name].keys()
        assert summary["metrics"][name]["certified"].keys() == {"p90", "p95", "p99"}
    assert {"cpu_s", "cpu_us_per_token", "loop_lag_ms_p99", "start_s", "peak_rss_mb"} <= summary["client"].keys()
    assert (summary["seed"], summary["requests"]["ok"]) == (5, 12)
    assert (place / "here" / "requests.parquet").exists()
    assert done.returncode == (0 if summary["valid"] else 1)


def test_a_table_and_a_verdict_are_for_people(place: Path, start_mock: StartMock) -> None:
    done = bench(place, start_mock())
    assert "ttft_from_sent" in done.stdout
    assert "VALID" in done.stdout
    assert (place / "out" / "bench" / "load" / "summary.json").exists()


def test_evidence_is_recomputed_from_its_own_files(place: Path, start_mock: StartMock) -> None:
    bench(place, start_mock(), "--evidence", "evidence")
    (stored,) = list(EvidenceStore(place / "evidence").verify())
    assert stored.record.kind == "bench"
    assert tuple(recompute(stored)) == stored.record.figures


def test_the_gateways_key_comes_from_a_file(place: Path, start_mock: StartMock) -> None:
    (place / "key").write_text("sesame\n")
    mock = start_mock("--api-key-file", str(place / "key"))
    refused = bench(place, mock)
    assert refused.returncode == 2
    assert "http_401" in refused.stderr.splitlines()[-1]
    assert "--api-key-file" in refused.stderr.splitlines()[-1]
    accepted = bench(place, mock, "--api-key-file", "key", "--json")
    assert json.loads(accepted.stdout)["requests"]["ok"] == 12
    assert "sesame" not in accepted.stdout + accepted.stderr
    assert not [path for path in place.rglob("*") if path.is_file() and path.name != "key" and b"sesame" in path.read_bytes()]


@pytest.mark.parametrize(
    ("was", "becomes", "words"),
    [
        ("streams: 4", "stream: 4", "field `arrivals.concurrency.streams`"),
        ("kind: concurrency, streams: 4", "kind: poisson, rate: -1", "field `arrivals.poisson.rate`"),
        ("model: mock, ", "", "--model"),
    ],
)
def test_a_mistake_in_the_workload_is_one_line_and_status_2(place: Path, was: str, becomes: str, words: str) -> None:
    (place / "load.yaml").write_text(WORKLOAD.replace(was, becomes))
    done = stackproof(place, "bench", "run", "load.yaml", "--url", "http://127.0.0.1:1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_an_endpoint_that_cannot_be_reached_is_one_line_and_status_2(place: Path) -> None:
    done = stackproof(place, "bench", "run", "load.yaml", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "cannot connect" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_endpoint_that_does_not_stream_is_one_line_and_status_2(place: Path, start_mock: StartMock) -> None:
    done = bench(place, start_mock("--fault", "not-streaming"))
    assert done.returncode == 2
    assert "does not stream" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_measured_and_marks_it(place: Path, start_mock: StartMock, number: signal.Signals) -> None:
    (place / "load.yaml").write_text(WORKLOAD.replace("requests: 12", "requests: 100000"))
    mock = start_mock()
    running = subprocess.Popen(
        [*STACKPROOF, "bench", "run", "load.yaml", "--url", mock.url, "--json", "--out", "cut"], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while not (mock.log.exists() and mock.log.read_text().count("\n") >= 20):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(running.pid, number)
    output, _ = running.communicate(timeout=30)
    summary = json.loads(output)
    assert running.returncode == 130
    assert (summary["state"], summary["valid"]) == ("interrupted", False)
    assert summary["requests"]["ok"] >= 20
    assert summary["requests"]["cancelled"] >= 1
    assert read_samples(place / "cut" / REQUESTS, place / "cut" / TOKENS).requests.num_rows == summary["requests"]["sent"]


def test_ready_workloads_are_listed(place: Path) -> None:
    assert "chat-closed" in stackproof(place, "bench", "list").stdout
    assert {each["name"] for each in json.loads(stackproof(place, "bench", "list", "--json").stdout)} >= {"chat-closed", "chat-open"}
