"""The watch against the reference server, whose counts are true, and against everything that may go wrong beside a run."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from conftest import Mock, StartMock

from bench import BenchError, Summary, Workload
from bench.load.drive import StopWhen
from bench.load.progress import NOTHING_YET, Progress
from bench.publish import recover_run
from bench.results.files import REQUESTS, SYSTEM, TOKENS
from bench.results.metrics import summarize
from bench.results.samples import read_samples
from bench.run import RunOptions, Watching, run_workload
from bench.system.cache_guard import reset_prefix_cache
from bench.system.models import SystemView
from bench.system.readings import has_sample
from bench.system.table import read_table
from bench.system.watch import SAMPLES, SystemWatch, recover_watch
from bench.workload.models import CacheGuard
from stack.runtime.errors import StackproofError
from stack.runtime.guardian import descendants
from stack.runtime.net import LOOPBACK, free_port
from stack.runtime.progress import Reporter

pytestmark = pytest.mark.slow

LONG = " ".join(f"word{number}" for number in range(400))
EVERY_S = 0.1
Run = Callable[..., Summary]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a small workload into `run` of the test's folder, sampled often; what is no option of the run is a field of the workload."""

    def measure(
        mock: Mock,
        *,
        seed: int | None = None,
        watch: bool = True,
        metrics_url: str | None = None,
        metrics_key_file: Path | None = None,
        stop_when: StopWhen | None = None,
        **fields: Any,
    ) -> Summary:
        document: dict[str, Any] = {
            "name": "small",
            "model": "mock",
            "arrivals": {"kind": "concurrency", "streams": 4},
            "prompts": {"kind": "text", "text": "hello", "max_tokens": 16},
            "stop": {"requests": 8},
            "timeout_s": 30,
        }
        watching = Watching(on=watch, metrics_url=metrics_url, metrics_key_file=metrics_key_file, every_s=EVERY_S)
        options = RunOptions(watching=watching, report=False, stop_when=stop_when)
        workload = Workload.model_validate({**document, **fields})
        return run_workload(workload, url=mock.url, out=tmp_path / "run", seed=seed, reporter=Reporter(StringIO()), options=options)

    return measure


def system(summary: Summary) -> SystemView:
    assert summary.system is not None
    return summary.system


def test_server_and_client_are_seen_side_by_side_with_the_servers_true_counts(start_mock: StartMock, run: Run) -> None:
    mock = start_mock("--ttft-ms", "30", "--token-interval-ms", "5")
    found = run(mock, stop={"requests": 40}, warmup={"requests": 4})
    view, truth = system(found), list(mock.truth().values())
    assert (view.offered.sent, view.offered.answered, view.offered.server, view.invalid_reasons) == (44, 44, 44, ())
    assert view.ttft.server_ms == pytest.approx(fmean(each["emitted_ns"][0] - each["received_ns"] for each in truth) / 1e6)
    assert view.itl.server_ms == pytest.approx(fmean((each["emitted_ns"][-1] - each["emitted_ns"][0]) / 15 for each in truth) / 1e6)
    assert view.e2e.server_ms == pytest.approx(fmean(each["emitted_ns"][-1] - each["received_ns"] for each in truth) / 1e6)
    assert view.ttft.client_ms is not None
    assert view.ttft.client_ms > view.ttft.server_ms
    assert (view.generation_tokens, view.ttft.server_count, view.itl.client_count) == (44 * 16, 44, 44 * 15)
    assert view.running is not None
    assert view.running.max is not None
    assert 1 <= view.running.max <= 4
    assert view.same_host is True
    assert {"cpu_percent", "memory_used_bytes", "load_average_1m"} <= {gauge.metric for gauge in view.gauges if gauge.source == "host"}


def test_requests_of_others_during_the_run_make_it_invalid(start_mock: StartMock, run: Run, tmp_path: Path) -> None:
    mock = start_mock()

    def disturb() -> None:
        until(lambda: has_sample(tmp_path / "run" / SAMPLES), bool)
        for _ in range(20):
            ask(mock)

    stranger = threading.Thread(target=disturb)
    stranger.start()
    # It ends when the stranger has, which is a reason of its own: the one looked for stands beside it.
    found = run(mock, stop={"duration_s": 100}, stop_when=lambda _: None if stranger.is_alive() else "the stranger is done")
    assert not found.valid
    view = system(found)
    assert view.offered.server is not None
    assert view.offered.server >= view.offered.answered + 20
    assert "it worked for others too" in " ".join(found.invalid_reasons)


def test_a_repeated_seed_is_caught_by_its_hit_rate_and_a_reset_is_its_cure(start_mock: StartMock, run: Run) -> None:
    mock = start_mock()

    def reasons(seed: int, reset: str) -> str:
        found = run(mock, prompts={"kind": "text", "text": LONG, "max_tokens": 4}, seed=seed, cache={"reset": reset})
        assert system(found).prefix_cache_queries == 8 * 401
        return " ".join(reason for reason in found.invalid_reasons if "cache" in reason)  # a busy machine has reasons of its own

    assert reasons(5, "off") == ""
    assert "99.8% of prompt tokens came from the server's prefix cache" in reasons(5, "off")
    assert reasons(6, "off") == ""
    assert reasons(5, "required") == ""


def test_an_endpoint_without_metrics_is_told_and_nothing_else_happens(start_mock: StartMock, run: Run) -> None:
    mock = start_mock()
    found = run(mock, metrics_url=f"{mock.url}/elsewhere")
    view = system(found)
    assert found.requests.ok == 8
    assert view.offered.server is None
    assert "HTTP 400" in view.offered.reason
    assert view.sources["engine"].failures >= 2


def test_a_server_that_does_not_offer_a_reset_says_why(tmp_path: Path) -> None:
    with answering(404, b"") as url:
        assert reset_prefix_cache(CacheGuard(), url=url) == "not reset: HTTP 404"
    with answering(200, b'{"success": false}') as url:
        assert reset_prefix_cache(CacheGuard(), url=url) == "not reset: the server said that it failed: blocks are still in use"
    with answering(200, b"<html>welcome</html>") as url:
        assert reset_prefix_cache(CacheGuard(), url=url) == "not reset: the answer is not one of vLLM's"
    with answering(200, b"") as url:
        assert reset_prefix_cache(CacheGuard(), url=url) == "reset"


def test_a_metrics_endpoint_that_hangs_costs_the_run_nothing_but_the_metrics(start_mock: StartMock, run: Run) -> None:
    mock = start_mock()
    with socket.create_server((LOOPBACK, 0)) as deaf:
        url = f"http://{LOOPBACK}:{deaf.getsockname()[1]}/metrics"
        found = run(mock, metrics_url=url)
    view = system(found)
    assert found.requests.ok == 8
    assert (view.sources["engine"].samples, view.fault) == (0, "")
    assert "no whole answer within 2 s" in view.offered.reason
    assert view.sources["host"].samples > view.sources["engine"].failures  # one that hangs holds up no other


def test_garbage_instead_of_metrics_is_told(start_mock: StartMock, run: Run) -> None:
    mock = start_mock()
    with answering(200, b"vllm:num_requests_running{{{ \xff\x00 garbage\n") as url:
        found = run(mock, metrics_url=f"{url}/metrics")
    assert "not Prometheus' text format" in system(found).offered.reason


def test_the_metrics_key_goes_to_the_metrics_alone_and_is_left_nowhere(start_mock: StartMock, run: Run, tmp_path: Path) -> None:
    mock, key_file, seen = start_mock(), tmp_path / "metrics.key", []
    key_file.write_text("sesame-open\n")
    with answering(200, b"vllm:num_requests_running 0\n", seen=seen) as url:
        run(mock, metrics_url=f"{url}/metrics", metrics_key_file=key_file)
    assert set(seen) == {"Bearer sesame-open"}
    assert all(b"sesame" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != key_file)


def test_a_sampling_process_that_is_killed_leaves_the_run_alone_and_is_told(start_mock: StartMock, run: Run, tmp_path: Path) -> None:
    mock = start_mock()
    with SystemWatch.start(url=mock.url, out=tmp_path / "watch", every_s=EVERY_S) as watch:
        watch.wait_first_sample(timeout_s=60)
        for pid in sampling_processes():
            os.kill(pid, signal.SIGKILL)
        until(sampling_processes, lambda left: not left)
        unwatched = run(mock, watch=False)
        watch.finish(read_samples(tmp_path / "run" / REQUESTS, tmp_path / "run" / TOKENS).run.started_ns)
    assert (unwatched.system, unwatched.requests.ok) == (None, 8)
    view = system(summarize(read_samples(tmp_path / "run" / REQUESTS, tmp_path / "run" / TOKENS, tmp_path / "watch" / SYSTEM)))
    assert "the sampling process ended before the run, with status 137" in view.fault
    assert view.sources["engine"].samples >= 1
    assert view.offered.reason in ("the engine's metrics were last read before the last answer", "the engine's metrics were first read after the first request")


def test_progress_after_the_sampling_process_died_neither_blocks_nor_raises(start_mock: StartMock, tmp_path: Path) -> None:
    with SystemWatch.start(url=start_mock().url, out=tmp_path, every_s=EVERY_S) as watch:
        watch.wait_first_sample(timeout_s=60)
        for pid in sampling_processes():
            os.kill(pid, signal.SIGKILL)
        for _ in range(20_000):  # far more than a pipe holds
            watch.progress(NOTHING_YET)
        watch.finish(0)
    assert [path.name for path in tmp_path.iterdir() if "system" in path.name] == [SYSTEM]


def test_live_metrics_are_served_on_loopback_while_the_run_lasts_and_not_after(start_mock: StartMock, tmp_path: Path) -> None:
    mock, port = start_mock(), free_port()
    with SystemWatch.start(url=mock.url, out=tmp_path, every_s=EVERY_S, prometheus_port=port) as watch:
        watch.wait_first_sample(timeout_s=60)
        watch.progress(Progress(elapsed_s=2.5, sent=10, over=7, failed=1, in_flight=3, bytes_read=4096))
        page = until(lambda: get(port), lambda text: "requests_sent_total 10.0" in text)
        assert "stackproof_bench_requests_ok_total 6.0" in page
        assert "stackproof_bench_requests_failed_total 1.0" in page
        assert "stackproof_bench_requests_in_flight 3.0" in page
        assert "stackproof_bench_bytes_read_total 4096.0" in page
        watch.finish(0)
    with pytest.raises(OSError, match="refused"):
        get(port)


def test_a_live_port_that_is_taken_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackproofError, match="choose another with --prometheus-port"):
            SystemWatch.start(url="http://127.0.0.1:1", out=tmp_path, prometheus_port=port)
    assert list(tmp_path.iterdir()) == []


def test_a_metrics_key_that_cannot_be_read_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"--metrics-key-file .*absent: cannot be read"):
        SystemWatch.start(url="http://127.0.0.1:1", out=tmp_path, metrics_key_file=tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []


def test_a_watch_of_an_earlier_run_does_not_stay_beside_the_next(start_mock: StartMock, tmp_path: Path) -> None:
    (tmp_path / SYSTEM).write_bytes(b"old")
    with SystemWatch.start(url=start_mock().url, out=tmp_path):
        assert not (tmp_path / SYSTEM).exists()


def test_sigkill_of_the_load_generator_leaves_no_process_and_no_pipe_behind_and_what_was_sampled(
    start_mock: StartMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    code = (
        "import sys, time; from pathlib import Path; from bench.system.watch import SystemWatch\n"
        f"watch = SystemWatch.start(url={start_mock().url!r}, out=Path({str(tmp_path / 'run')!r}), every_s=0.1)\n"
        "watch.wait_first_sample(60); print('sampling', flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "sampling\n"
    children = descendants(parent.pid)
    assert len(children) == 2  # the guardian and the sampling process
    parent.kill()
    parent.wait()
    until(lambda: [pid for pid in children if alive(pid)], lambda left: not left)
    assert list((tmp_path / "tmp").iterdir()) == []
    recover_watch(tmp_path / "run", started_ns=0)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [SYSTEM]
    recovered = read_table(tmp_path / "run" / SYSTEM)
    assert (recovered.info.fault, recovered.info.every_s) == ("the load generator died", 0.1)
    assert "num_requests_running" in recovered.rows["metric"].to_pylist()


def test_a_killed_run_that_is_recovered_has_its_system_beside_it(start_mock: StartMock, tmp_path: Path) -> None:
    workload = {"model": "mock", "arrivals": {"kind": "concurrency", "streams": 2}, "prompts": {"kind": "text", "text": "hello", "max_tokens": 2}}
    code = (
        "from io import StringIO; from pathlib import Path; from bench import Workload; from bench.run import *\n"
        f"workload = Workload.model_validate({workload | {'stop': {'duration_s': 600}}!r})\n"
        f"options = RunOptions(watching=Watching(every_s={EVERY_S}))\n"
        f"run_workload(workload, url={start_mock().url!r}, out=Path({str(tmp_path / 'run')!r}), reporter=Reporter(StringIO()), options=options)"
    )
    spool = tmp_path / "run" / ".spool.0"
    with subprocess.Popen([sys.executable, "-c", code]) as load:
        until(lambda: spool.exists() and spool.stat().st_size > 100_000, bool)
        load.kill()
    found = recover_run(tmp_path / "run", reporter=Reporter(StringIO()))
    assert found.state == "interrupted"
    assert system(found).fault == "the load generator died"
    assert system(found).sources["host"].samples >= 1
    assert not [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]


def test_nothing_of_a_watch_remains_when_the_load_fails(start_mock: StartMock, tmp_path: Path) -> None:
    url, children = start_mock().url, []

    def fail() -> None:
        with SystemWatch.start(url=url, out=tmp_path / "run"):
            children.extend(until(sampling_processes, bool))
            raise RuntimeError("the load failed")

    with pytest.raises(RuntimeError, match="the load failed"):
        fail()
    assert list((tmp_path / "run").iterdir()) == []
    assert not any(alive(pid) for pid in children)


def test_samples_are_aligned_with_the_stamps_of_the_run(start_mock: StartMock, tmp_path: Path) -> None:
    with SystemWatch.start(url=start_mock().url, out=tmp_path, every_s=EVERY_S) as watch:
        watch.wait_first_sample(timeout_s=60)
        started_ns = time.monotonic_ns()
        time.sleep(3 * EVERY_S)
        ended_ns = time.monotonic_ns()
        watch.finish(started_ns)
    moments = read_table(tmp_path / SYSTEM).rows["t_ns"].to_pylist()
    assert min(moments) < 0  # counters are known before the first request
    assert max(moments) > ended_ns - started_ns  # and after the last answer


def sampling_processes() -> list[int]:
    """Those under us, without their guardians."""
    commands = {pid: command(pid) for pid in descendants(os.getpid())}
    return [pid for pid, words in commands.items() if b"bench.system.sampler" in words and not any(b"guardian" in word for word in words)]


def command(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ask(mock: Mock) -> None:
    """A request of somebody else's."""
    body = json.dumps({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1, "stream": True}).encode()
    with urllib.request.urlopen(f"{mock.url}/v1/chat/completions", data=body, timeout=30) as answer:
        answer.read()


def get(port: int) -> str:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def until(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """What `ask` gives once it holds; the test fails when that takes a minute."""
    deadline = time.monotonic() + 60
    while not holds(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


@contextmanager
def answering(status: int, body: bytes, *, seen: list[str] | None = None) -> Iterator[str]:
    """A server that says the same to everybody, and notes the keys it was shown."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            if seen is not None:
                seen.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
