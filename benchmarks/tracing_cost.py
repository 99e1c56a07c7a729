"""What tracing and metrics cost the gateway: Envoy's and the policy service's CPU time a request, each way in turn.

    .venv/bin/python benchmarks/tracing_cost.py [--turns 3] [--seconds 15] [--rate 200]

Real Envoy with one worker and the real policy service stand before the built-in reference server (`python -m bench.mock`); `stackproof bench run`
streams 8 tokens a request in open loop. A collector reads spans and throws them away. CPU is user + system of each process over the run, told
with the load average, since the two processes share the machine with client, server and collector. Compare a way with `off` of the same turn.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from stack.runtime.net import LOOPBACK, free_port
from stack.runtime.process import Child
from stack.serving.envoy_process import gateway_before
from stack.serving.gateway import Pool
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.policy import GatewayPolicy, Metrics, Tracing, load_policy

MODEL = "mock"
WARMUP = 4


class Discard(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    received: list[int] = []  # noqa: RUF012  # one collector a run

    def do_POST(self) -> None:
        size = 0
        while length := int(self.rfile.readline(), 16):
            size += len(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        self.received.append(size)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def policies(endpoint: str) -> dict[str, GatewayPolicy]:
    """The ways that are compared."""
    plain = load_policy()
    metrics = Metrics(gateway=f"{LOOPBACK}:{free_port()}", policy_service=f"{LOOPBACK}:{free_port()}")
    return {
        "off": plain,
        "traced 100 %": plain.model_copy(update={"tracing": Tracing(endpoint=endpoint)}),
        "traced 5 %": plain.model_copy(update={"tracing": Tracing(endpoint=endpoint, sample_percent=5)}),
        "metrics": plain.model_copy(update={"metrics": metrics}),
    }


@contextmanager
def gateway(policy: GatewayPolicy, engine: str, folder: Path) -> Iterator[tuple[str, Path, Child, Child]]:
    key = new_key()
    (folder / "api.key").write_text(key)
    (folder / "engine.key").write_text("sp-none")
    write_keys(folder / "keys.json", (ApiKey(tenant="clinic", sha256=hash_key(key)),))
    with gateway_before((Pool(engines=(engine,)),), policy, folder) as started:
        yield started.url, folder / "api.key", started.envoy, started.policy_service


def cpu_s(child: Child) -> float:
    total = 0.0
    for pid in child.pids():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def turn(name: str, policy: GatewayPolicy, engine: str, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prompts = {"kind": "texts", "max_tokens": 8, "ignore_eos": True, "texts": ["How does a vaccine teach the body to defend itself?"]}
        load = {"arrivals": {"kind": "poisson", "rate": options.rate}, "prompts": prompts, "warmup": {"requests": WARMUP}}
        (folder / "load.yaml").write_text(yaml.safe_dump({**load, "stop": {"duration_s": options.seconds}, "timeout_s": 30}))
        with gateway(policy, engine, folder) as (url, key, envoy, service):
            before = cpu_s(envoy), cpu_s(service)
            command = [str(Path(sys.executable).parent / "stackproof"), "bench", "run", str(folder / "load.yaml"), "--url", url, "--model", MODEL]
            run = subprocess.run([*command, "--api-key-file", str(key), "--out", str(folder / "out")], capture_output=True, text=True, check=False)
            after = cpu_s(envoy), cpu_s(service)
            requests = sum(1 for _ in (folder / "audit.jsonl").open())
        if requests < options.rate * options.seconds / 2:
            sys.exit(f"only {requests} requests came through: {run.stdout[-400:]}{run.stderr[-400:]}")
        summary = json.loads((folder / "out" / "summary.json").read_text())
        return {
            "name": name,
            "requests": requests,
            "failed": summary["requests"]["failed"],
            "valid": run.returncode == 0,
            "envoy_us": (after[0] - before[0]) / requests * 1e6,
            "policy_us": (after[1] - before[1]) / requests * 1e6,
            "load": os.getloadavg()[0],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rate", type=float, default=200)
    options = parser.parse_args()
    with ExitStack() as stack:
        collector = stack.enter_context(ThreadingHTTPServer((LOOPBACK, 0), Discard))
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        stack.callback(collector.shutdown)
        port = free_port()
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mock = Child.start("mock", [sys.executable, "-m", "bench.mock", "--port", str(port)], log=place / "mock.log")
        stack.callback(mock.stop)
        mock.wait_ready(lambda: _answers(port), timeout_s=30)
        found: list[dict[str, Any]] = []
        for number in range(options.turns):
            ways = list(policies(f"http://{LOOPBACK}:{collector.server_port}/v1/traces").items())
            for name, policy in ways[number % len(ways) :] + ways[: number % len(ways)]:  # none is always first
                found.append(turn(name, policy, f"{LOOPBACK}:{port}", options))
                print(number + 1, {key: round(value, 1) if isinstance(value, float) else value for key, value in found[-1].items()}, flush=True)
        batches, size = len(Discard.received), sum(Discard.received)
    print("\n| way | Envoy's CPU a request, median | to `off` of its turn, median and span | policy service's | load average |")
    print("|---|---|---|---|---|")
    base = [each["envoy_us"] for each in found if each["name"] == "off"]
    for name in dict.fromkeys(each["name"] for each in found):
        own = [each for each in found if each["name"] == name]
        envoy, policy = (statistics.median(each[field] for each in own) for field in ("envoy_us", "policy_us"))
        ratios = [each["envoy_us"] / off for each, off in zip(own, base, strict=True)]
        loads = [each["load"] for each in own]
        span = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {envoy:.0f} us | {span} | {policy:.0f} us | {min(loads):.1f} to {max(loads):.1f} |")
    print(f"\n{batches} batches of spans, {size / 1e6:.1f} MB; {found[0]['requests']} requests a turn")


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://{LOOPBACK}:{port}/health", trust_env=False).status_code < 500
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
