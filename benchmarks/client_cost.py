"""What the load generator costs and how true its times are, beside a plain aiohttp client in the same minutes.

    .venv/bin/python benchmarks/client_cost.py [--quick]

It needs two cores that nothing else uses: the reference server (`python -m bench.mock`) has core 1, each client core 0, one after
the other. Truth is the server's log: when it had read a request and when it wrote the first chunk. "late" is how long after that
the client saw the first chunk; "TTFT +" is what it told beyond the server's own time, which also holds the requests' wait to be
read by a busy server. CPU is user + system of the client between its first request and its last answer. The aiohttp client does
what such clients usually do: a task for each request, `iter_any`, a stamp and a JSON parse for each event. The last load is beyond our client's
limit on purpose: a busy loop shares its core, so that the client is what gives way and not the server, and the run must call itself invalid.
"""

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench import Workload
from bench.arrivals.schedule import plan_arrivals
from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import read_samples
from bench.run import RunOptions, Watching, run_workload
from bench.statistics.percentiles import mean, percentile
from stack.runtime.process import Child
from stack.runtime.progress import Reporter

CLIENT_CORE, SERVER_CORE = 0, 1
SEED = 1


@dataclass(frozen=True)
class Case:
    """A load, and what the server is set to do under it."""

    name: str
    arrivals: dict[str, Any]
    requests: int
    max_tokens: int
    ttft_ms: float
    token_interval_ms: float
    crowded: bool = False
    """Whether a busy loop takes half of the client's core."""

    @property
    def workload(self) -> Workload:
        return Workload.model_validate(
            {
                "name": "cost",
                "model": "mock",
                "arrivals": self.arrivals,
                "prompts": {"kind": "text", "text": "hello", "max_tokens": self.max_tokens},
                "stop": {"requests": self.requests},
                "timeout_s": 120,
            }
        )


@dataclass(frozen=True)
class Cost:
    """What one client used and told; by request index: when it sent, saw the first and the last content (monotonic ns)."""

    cpu_s: float
    told: dict[str, tuple[int, int, int]]
    gap_p99_ms: float | None
    delivered: float
    tokens: int
    wall_s: float
    verdict: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests: a check of the script, not of the client")
    arguments = parser.parse_args()
    shrink = 10 if arguments.quick else 1
    cases = [
        Case("closed 256 x 100 tok/s", {"kind": "concurrency", "streams": 256}, 256 * 10 // shrink, 91, 100, 10),
        Case("open 300/s x 16 tok", {"kind": "poisson", "rate": 300}, 3000 // shrink, 16, 20, 5),
        Case("open 1000/s x 16 tok", {"kind": "poisson", "rate": 1000}, 10_000 // shrink, 16, 20, 5),
        Case("open 3000/s x 16 tok", {"kind": "poisson", "rate": 3000}, 30_000 // shrink, 16, 20, 5),
        Case("open 6000/s x 16 tok", {"kind": "poisson", "rate": 6000}, 30_000 // shrink, 16, 20, 5),
        Case("open 6000/s, half a core", {"kind": "poisson", "rate": 6000}, 30_000 // shrink, 16, 20, 5, crowded=True),
    ]
    describe_machine()
    os.sched_setaffinity(0, {CLIENT_CORE})
    print(
        f"{'load':24} {'client':10} {'us CPU/token':>12} {'ms CPU/req':>11} {'late, ms':>9} {'p99':>7} {'TTFT +, ms':>11} {'p99':>7}"
        f" {'TPOT p50':>10} {'gap p99':>8} {'delivered':>9} {'tok/s':>7}  verdict"
    )
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases):
            ours = measure(case, Path(folder) / f"{number}-ours", client=run_ours)
            if case.crowded:
                continue
            theirs = measure(case, Path(folder) / f"{number}-aiohttp", client=run_aiohttp)
            print(f"{case.name:24} {'ratio':10} {theirs / ours:12.1f} times our CPU a token")


def describe_machine() -> None:
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    print(f"command: {' '.join(['python', *sys.argv])}")
    print(f"machine: {model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, load average {os.getloadavg()[0]:.2f}")
    names = ("uvloop", "httptools", "aiohttp", "numpy", "pyarrow")
    print(f"versions: Python {platform.python_version()}, {', '.join(f'{name} {importlib.metadata.version(name)}' for name in names)}")


def measure(case: Case, folder: Path, *, client: Any) -> float:
    """Run one client against a server of its own; prints a line, returns CPU microseconds a token."""
    folder.mkdir()
    log, output = folder / "truth.jsonl", folder / "mock.out"
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "bench.mock", "--log", str(log)]
    command += ["--ttft-ms", str(case.ttft_ms), "--token-interval-ms", str(case.token_interval_ms)]
    server = Child.start("mock", command, log=output)
    try:
        server.wait_ready(lambda: output.read_text().endswith("\n"), timeout_s=30)
        with busy_loop(CLIENT_CORE) if case.crowded else contextlib.nullcontext():
            cost: Cost = client(case, output.read_text().split()[-1], folder)
        deadline = time.monotonic() + 10
        while len(log.read_text().splitlines()) < case.requests and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        server.stop()
    truth = {line["request_id"].rpartition("-")[2]: line for line in map(json.loads, log.read_text().splitlines())}
    pairs = [(cost.told[key], line["received_ns"], line["emitted_ns"]) for key, line in truth.items() if key in cost.told]
    late_ms = sorted((first - emitted[0]) / 1e6 for (_, first, _), _, emitted in pairs)
    error_ms = sorted((first - sent - (emitted[0] - received)) / 1e6 for (sent, first, _), received, emitted in pairs)
    told_span, true_span = sorted(last - first for (_, first, last), _, _ in pairs), sorted(emitted[-1] - emitted[0] for _, _, emitted in pairs)
    tpot_error = percentile(told_span, 0.5) / percentile(true_span, 0.5) - 1
    true_gap_ms = percentile(sorted((later - one) / 1e6 for _, _, emitted in pairs for one, later in pairwise(emitted)), 0.99)
    gap_error = "-" if cost.gap_p99_ms is None else f"{cost.gap_p99_ms / true_gap_ms - 1:.1%}"
    per_token = cost.cpu_s * 1e6 / cost.tokens
    print(
        f"{case.name:24} {client.__name__.removeprefix('run_'):10} {per_token:12.2f} {cost.cpu_s * 1e3 / case.requests:11.3f}"
        f" {mean(late_ms):9.2f} {percentile(late_ms, 0.99):7.2f} {mean(error_ms):11.2f} {percentile(error_ms, 0.99):7.2f}"
        f" {tpot_error:10.2%} {gap_error:>8} {cost.delivered:9.1%} {cost.tokens / cost.wall_s:7.0f}  {cost.verdict}",
        flush=True,
    )
    return per_token


@contextlib.contextmanager
def busy_loop(core: int) -> Iterator[None]:
    """A process that takes what it can of a core."""
    hog = subprocess.Popen(["taskset", "-c", str(core), sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        hog.kill()
        hog.wait()


def run_ours(case: Case, url: str, folder: Path) -> Cost:
    options = RunOptions(watching=Watching(on=False), report=False)
    summary = run_workload(case.workload, url=url, out=folder, seed=SEED, reporter=Reporter(StringIO()), options=options)
    samples = read_samples(folder / REQUESTS, folder / TOKENS)
    start = samples.run.started_ns
    told = {
        str(row["request"]): (row["sent_ns"] + start, row["first_content_ns"] + start, row["last_content_ns"] + start)
        for row in samples.requests.to_pylist()
        if row["status"] == "ok"
    }
    client = summary.client
    verdict = "valid" if summary.valid else "; ".join(summary.invalid_reasons)
    gaps, delivered = summary.metrics.chunk_gap_ms.p99, summary.requests.ok / summary.requests.sent
    return Cost(
        cpu_s=client.cpu_s,
        told=told,
        gap_p99_ms=gaps,
        delivered=delivered,
        tokens=samples.tokens.num_rows,
        wall_s=client.cpu_s / client.cpu_share,
        verdict=verdict,
    )


def run_aiohttp(case: Case, url: str, folder: Path) -> Cost:  # noqa: ARG001
    return uvloop.run(_aiohttp(case, url))


async def _aiohttp(case: Case, url: str) -> Cost:
    told: dict[str, tuple[int, int, int]] = {}
    tokens = 0
    body = {"model": "mock", "messages": [{"role": "user", "content": "hello"}], "max_tokens": case.max_tokens, "stream": True}

    async def one(session: aiohttp.ClientSession, index: int) -> None:
        nonlocal tokens
        sent_ns, stamps, rest = time.monotonic_ns(), [], b""
        async with session.post(f"{url}/v1/chat/completions", json=body, headers={"X-Request-Id": f"a-{index}"}) as response:
            async for piece in response.content.iter_any():
                now = time.monotonic_ns()
                *events, rest = (rest + piece).split(b"\n\n")
                for event in events:
                    data = event.removeprefix(b"data: ")
                    if data != b"[DONE]" and any(choice["delta"].get("content") for choice in json.loads(data)["choices"]):
                        stamps.append(now)
        tokens += len(stamps)
        told[str(index)] = (sent_ns, stamps[0], stamps[-1])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        cpu_ns, began_ns = time.process_time_ns(), time.monotonic_ns()
        arrivals = case.workload.arrivals
        if arrivals.kind == "concurrency":
            queue = iter(range(case.requests))

            async def stream() -> None:
                for index in queue:
                    await one(session, index)

            await asyncio.gather(*(stream() for _ in range(arrivals.streams)))
        else:
            schedule = plan_arrivals(arrivals, warmup=case.workload.warmup, stop=case.workload.stop, seed=SEED).at_ns
            async with asyncio.TaskGroup() as group:
                for index, at_ns in enumerate(schedule):
                    await asyncio.sleep(max(0.0, (began_ns + at_ns - time.monotonic_ns()) / 1e9))
                    group.create_task(one(session, index))
        cpu_s, wall_s = (time.process_time_ns() - cpu_ns) / 1e9, (time.monotonic_ns() - began_ns) / 1e9
    return Cost(cpu_s=cpu_s, told=told, gap_p99_ms=None, delivered=1.0, tokens=tokens, wall_s=wall_s, verdict="-")


if __name__ == "__main__":
    main()
