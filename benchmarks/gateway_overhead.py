"""What the gateway adds to a request, and what one core of it carries, beside two routers that others made.

    .venv/bin/python benchmarks/gateway_overhead.py [--turns 3] [--quick] [--routers FOLDER] [--real-engine] [--only PART]

The reference server (`python -m bench.mock`) is the engine, but for part 5. Ways to it, in turn within one run: direct; the gateway (Envoy with one worker, the
policy service, audit log and access log: key, closed body schema, tenant, cache salt); with `--routers` also `vllm-router` and `smg` of the
virtual environment FOLDER (`python3 -m venv FOLDER && FOLDER/bin/pip install vllm-router smg`), which route and do not check keys, bodies or tenants.

1. `first`: TTFT (from sending) at 200 requests/s, Poisson, 16 tokens: the difference to the direct way of the same turn.
2. `requests`: CPU of the proxy for a request that is not streamed, and what one core carries: 10^6 / that.
3. `tokens`: CPU of the proxy for a streamed token, 256 streams x 100 tokens/s, and what one core carries where each token is a wake-up, a read and a write.
4. `flood`: 512 streams x 250 tokens/s, the proxy bound to the first core and all else to the others: tokens a second that arrive, how much of its core the
   proxy used, and how long a stream is silent between two reads. Under such a load the proxy finds several tokens at each look.
5. `real`, with `--real-engine`: TTFT of the CI model's engine, one request after the other, direct and through the gateway in turn.

In 1 to 3 all processes share two cores: what one core carries is computed from CPU time, not seen on a core of its own.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import aiohttp
import httpx
import psutil

from bench import Workload
from bench.run import RunOptions, Watching, run_workload
from stack.hardware_profiles import collect_inventory
from stack.runtime.net import LOOPBACK, free_port
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.envoy_process import gateway_before
from stack.serving.gateway import Pool
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.models import CI_MODEL, find_model
from stack.serving.plan import EAGER_ASKED, make_plan
from stack.serving.policy import load_policy
from stack.serving.pools import EngineSpec
from stack.serving.vllm_process import start_engine
from stack.serving.weights import model_dir

MODEL, READY_S, CONNECTIONS = "mock", 30.0, 32
RATE, TOKENS = 200, 16
PARTS = ("first", "requests", "tokens", "flood", "real")
DRAIN_START_S = 2.0
"""Until the reader has opened its streams and reads what counts."""


@dataclass(frozen=True)
class Way:
    """How requests reach the engine. `parts` are the processes that do it, by name."""

    name: str
    url: str
    key: str
    parts: dict[str, Child]

    def cpu_s(self) -> dict[str, float]:
        return {name: _cpu_s(child) for name, child in self.parts.items()}


Start = Callable[[tuple[str, ...], Path], contextlib.AbstractContextManager[Way]]
Ways = list[Start]


def _cpu_s(child: Child) -> float:
    total = 0.0
    for pid in child.pids():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def engine(folder: Path, *options: str) -> Iterator[str]:
    port = free_port()
    child = Child.start("mock", [sys.executable, "-m", "bench.mock", "--port", str(port), *options], log=folder / "mock.log")
    try:
        child.wait_ready(lambda: _answers(f"http://{LOOPBACK}:{port}/health"), timeout_s=READY_S)
        yield f"{LOOPBACK}:{port}"
    finally:
        child.stop()


@contextmanager
def direct(addresses: tuple[str, ...], folder: Path, engine_key: str = "sp-none") -> Iterator[Way]:  # noqa: ARG001
    yield Way("direct", f"http://{addresses[0]}", engine_key, {})


@contextmanager
def gateway(addresses: tuple[str, ...], folder: Path, engine_key: str = "sp-none") -> Iterator[Way]:
    key = new_key()
    (folder / "engine.key").write_text(engine_key)
    write_keys(folder / "keys.json", (ApiKey(tenant="clinic", sha256=hash_key(key)),))
    with gateway_before((Pool(engines=addresses),), load_policy(), folder) as started:
        yield Way("gateway", started.url, key, {"Envoy": started.envoy, "policy service": started.policy_service})


def router(program: Path, *arguments: str) -> Start:
    @contextmanager
    def start(addresses: tuple[str, ...], folder: Path) -> Iterator[Way]:
        port, metrics = free_port(), free_port()
        command = [str(program), *arguments, "--host", LOOPBACK, "--port", str(port), "--worker-urls", *(f"http://{each}" for each in addresses)]
        command += ["--policy", "round_robin", "--prometheus-port", str(metrics), "--log-level", "error"]
        child = Child.start(program.name, command, log=folder / "router.log")
        url = f"http://{LOOPBACK}:{port}"
        try:
            child.wait_ready(lambda: _completes(url), timeout_s=60)
            yield Way(program.name, url, "none", {program.name: child})
        finally:
            child.stop()

    return start


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _completes(url: str) -> bool:
    try:
        return httpx.post(f"{url}/v1/chat/completions", json=_body(), timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _body() -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "How does a vaccine teach the body to defend itself?"}], "max_tokens": 16}


def streamed(
    way: Way, folder: Path, arrivals: dict[str, object], tokens: int, requests: int, *, model: str = MODEL, seed: int = 0
) -> tuple[float, float, dict[str, float], str]:
    """TTFT p50 and p99 in ms, CPU seconds of each part, and what was not right."""
    prompts = {"kind": "text", "text": str(_body()["messages"]), "max_tokens": tokens}
    stop = {"requests": requests}
    workload = Workload.model_validate({"model": model, "arrivals": arrivals, "prompts": prompts, "warmup": {"requests": 20}, "stop": stop, "timeout_s": 60})
    before = way.cpu_s()
    options = RunOptions(watching=Watching(on=False), report=False)
    summary = run_workload(workload, url=way.url, api_key=way.key, out=folder, seed=seed, reporter=Reporter(StringIO()), options=options)
    used = {name: spent - before[name] for name, spent in way.cpu_s().items()}
    told = "" if summary.valid and not summary.requests.failed else f"{summary.requests.failed} failed; {'; '.join(summary.invalid_reasons)}"
    ttft = summary.metrics.ttft_from_sent_ms
    assert ttft.p50 is not None
    assert ttft.p99 is not None
    return ttft.p50, ttft.p99, used, told


async def whole(way: Way, seconds: float) -> tuple[int, int, float, dict[str, float]]:
    """Requests that are not streamed, as many as `CONNECTIONS` clients get answered: answered, failed, per second, CPU seconds of each part."""
    ended = {True: 0, False: 0}
    headers = {"authorization": f"Bearer {way.key}", "content-type": "application/json"}
    body = json.dumps(_body()).encode()
    deadline = time.monotonic() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < deadline:
            async with session.post(f"{way.url}/v1/chat/completions", data=body, headers=headers) as answer:
                await answer.read()
                ended[answer.status == httpx.codes.OK] += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        before, began = way.cpu_s(), time.monotonic()
        await asyncio.gather(*(ask(session) for _ in range(CONNECTIONS)))
        took = time.monotonic() - began
    used = {name: spent - before[name] for name, spent in way.cpu_s().items()}
    return ended[True], ended[False], ended[True] / took, used


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a fifth of the requests")
    parser.add_argument("--routers", type=Path, metavar="FOLDER")
    parser.add_argument("--real-engine", action="store_true", help="part 5 too: needs the extra `cpu` or `gpu`")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    ways = [direct, gateway]
    if options.routers is not None:
        ways += [router(options.routers / "bin" / "vllm-router"), router(options.routers / "bin" / "smg", "launch")]
    scale = 5 if options.quick else 1
    print(f"$ python {' '.join(sys.argv)}")
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, load {os.getloadavg()[0]:.2f}")
    if options.routers is not None:
        listed = subprocess.run([str(options.routers / "bin" / "pip"), "list", "--format=freeze"], capture_output=True, text=True, check=True).stdout
        print(", ".join(line for line in listed.splitlines() if line.partition("==")[0] in {"vllm-router", "smg"}))
    turns = options.turns
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        parts: dict[str, Callable[[], None]] = {
            "first": lambda: first_token(ways, place, turns, 20 // scale),
            "requests": lambda: cost_of_requests(ways, place, turns, 10 / scale),
            "tokens": lambda: cost_of_tokens(ways, place, turns, 1000 // scale),
            "flood": lambda: flood(ways, place, turns, 5.0),
            "real": lambda: real_engine(place, turns, 60 // scale),
        }
        for part in (options.only,) if options.only else PARTS if options.real_engine else PARTS[:-1]:
            parts[part]()
    return 0


def each(ways: Ways, place: Path, turns: int, *options: str, engines: int = 1) -> Iterator[tuple[int, Way, Path]]:
    """Every way in every turn, one after the other, before engines of its own."""
    for turn in range(turns):
        for number, start in enumerate(ways):
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=place)))
                addresses = tuple(stack.enter_context(engine(folder, *options)) for _ in range(engines))
                yield turn, stack.enter_context(start(addresses, folder)), folder / f"{turn}-{number}"


def first_token(ways: Ways, place: Path, turns: int, seconds: int) -> None:
    print(f"\nTTFT at {RATE} requests/s x {TOKENS} tokens, ms beside the direct way of the same turn: p50, p99", flush=True)
    bare, found = (0.0, 0.0), dict[str, list[tuple[float, float]]]()
    arrivals: dict[str, object] = {"kind": "poisson", "rate": RATE}
    for turn, way, folder in each(ways, place, turns, "--ttft-ms", "20", "--token-interval-ms", "5"):
        p50, p99, _, told = streamed(way, folder, arrivals, TOKENS, RATE * seconds)
        if way.name == "direct":
            bare = (p50, p99)
        else:
            found.setdefault(way.name, []).append((p50 - bare[0], p99 - bare[1]))
        print(f"  turn {turn + 1} {way.name}: {p50:.2f} {p99:.2f} {told} (load {os.getloadavg()[0]:.2f})", flush=True)
    for name, pairs in found.items():
        p50, p99 = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
        print(f"{name}: p50 {p50:+.2f}, p99 {p99:+.2f} (median of {turns} turns)")


def cost_of_requests(ways: Ways, place: Path, turns: int, seconds: float) -> None:
    print(f"\nrequests that are not streamed, {CONNECTIONS} connections: answered per second, us of CPU a request, and what one core carries", flush=True)
    found = dict[tuple[str, str], list[float]]()
    for turn, way, _ in each(ways, place, turns):
        answered, failed, rate, used = asyncio.run(whole(way, seconds))
        cost = {name: spent / answered * 1e6 for name, spent in used.items()}
        for name, us in cost.items():
            found.setdefault((way.name, name), []).append(us)
        words = ", ".join(f"{name} {us:.0f} us" for name, us in cost.items())
        print(f"  turn {turn + 1} {way.name}: {rate:.0f}/s, {failed} failed; {words} (load {os.getloadavg()[0]:.2f})", flush=True)
    _tell_carried(found, "requests/s")


def cost_of_tokens(ways: Ways, place: Path, turns: int, requests: int) -> None:
    print("\n256 streams x 100 tokens/s: us of CPU a streamed token, and what one core carries", flush=True)
    found = dict[tuple[str, str], list[float]]()
    arrivals: dict[str, object] = {"kind": "concurrency", "streams": 256}
    for turn, way, folder in each(ways, place, turns, "--ttft-ms", "100", "--token-interval-ms", "10"):
        if not way.parts:
            continue
        tokens = 100
        _, _, used, told = streamed(way, folder, arrivals, tokens, requests)
        for name, spent in used.items():
            found.setdefault((way.name, name), []).append(spent / (requests * tokens) * 1e6)
        words = ", ".join(f"{name} {spent / (requests * tokens) * 1e6:.2f} us" for name, spent in used.items())
        print(f"  turn {turn + 1} {way.name}: {words} {told} (load {os.getloadavg()[0]:.2f})", flush=True)
    _tell_carried(found, "tokens/s")


def flood(ways: Ways, place: Path, turns: int, seconds: float) -> None:
    print("\n512 streams x 250 tokens/s, the proxy on a core of its own: tokens/s that arrive, cores used, ms between two reads of a stream", flush=True)
    cores = sorted(os.sched_getaffinity(0))
    own, others = {cores[0]}, set(cores[1:]) or {cores[0]}
    found = dict[str, list[tuple[float, float]]]()
    for turn, way, folder in each(ways, place, turns, "--ttft-ms", "20", "--token-interval-ms", "4", engines=2):
        folder.mkdir()
        for process in psutil.Process().children(recursive=True):
            _bind(process.pid, others)
        for child in way.parts.values():
            for pid in child.pids():
                _bind(pid, own if child.name != "policy service" else others)
        (folder / "key").write_text(way.key)
        (folder / "body").write_text(json.dumps({**_body(), "max_tokens": 4000, "stream": True}))
        command = [sys.executable, str(Path(__file__).with_name("stream_drain.py")), "--seconds", str(seconds)]
        command += [way.url.removeprefix("http://"), "256" if way.name == "direct" else "512", str(folder / "key"), str(folder / "body")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            _bind(client.pid, others)
            time.sleep(DRAIN_START_S)
            before, began = way.cpu_s(), time.monotonic()
            time.sleep(seconds / 2)
            used = {name: (spent - before[name]) / (time.monotonic() - began) for name, spent in way.cpu_s().items()}
            told = json.loads(client.communicate()[0])
        busy = max(used.values(), default=0.0)
        found.setdefault(way.name, []).append((told["tokens_per_s"], busy))
        words = ", ".join(f"{name} {share:.2f}" for name, share in used.items())
        gaps = " / ".join(f"{gap:.1f}" for gap in told["gap_ms"])
        print(
            f"  turn {turn + 1} {way.name}: {told['tokens_per_s']:,.0f} tokens/s in {told['reads_per_s']:,.0f} reads/s; cores: {words},"
            f" client {told['cpu']:.2f}; silent p50 / p99 {gaps} ms; {told['ended']} ended (load {os.getloadavg()[0]:.2f})",
            flush=True,
        )
    for name, pairs in found.items():
        rate, busy = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
        print(f"{name}: {rate:,.0f} tokens/s arrive; the proxy used {busy:.2f} of its core (median of {turns} turns)")


def _bind(pid: int, cores: set[int]) -> None:
    """All threads of a process."""
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def real_engine(place: Path, turns: int, requests: int) -> None:
    print("\nTTFT before a real engine, one request after the other, ms", flush=True)
    plan = make_plan(collect_inventory(), find_model(CI_MODEL), eager=EAGER_ASKED)
    key, port = new_key(), free_port()
    spec = EngineSpec("engine", CI_MODEL, "generate", plan)
    found = dict[str, list[float]]()
    with tempfile.TemporaryDirectory(prefix="stackproof-") as private:
        child = start_engine(spec, model=model_dir(CI_MODEL), port=port, key=key, private=Path(private), log=place / "engine.log")
        try:
            for turn in range(turns):
                for start in (direct, gateway):
                    folder = place / f"real-{turn}-{start.__name__}"
                    folder.mkdir()
                    with start((f"{LOOPBACK}:{port}",), folder, key) as way:
                        p50, p99, _, told = streamed(way, folder / "run", {"kind": "concurrency", "streams": 1}, 4, requests, model=CI_MODEL, seed=turn)
                    found.setdefault(way.name, []).append(p50)
                    print(f"  turn {turn + 1} {way.name}: {p50:.2f} {p99:.2f} {told} (load {os.getloadavg()[0]:.2f})", flush=True)
        finally:
            child.stop()
    differences = [through - bare for bare, through in zip(found["direct"], found["gateway"], strict=True)]
    print(f"gateway: p50 {statistics.median(differences):+.2f} of {statistics.median(found['direct']):.1f} ms (median of {turns} turns)")


def _tell_carried(found: dict[tuple[str, str], list[float]], unit: str) -> None:
    for (way, part), costs in found.items():
        us = statistics.median(costs)
        print(f"{way}, {part}: {us:.1f} us, one core carries {1e6 / us:,.0f} {unit} (computed)")


if __name__ == "__main__":
    sys.exit(main())
