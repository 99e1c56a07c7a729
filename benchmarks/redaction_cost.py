"""What taking personal data out of requests costs: a decision in process, and a request through Envoy and the policy service.

    .venv/bin/python benchmarks/redaction_cost.py [--rounds 300]

In process: `Decider.decide`, best of seven. Through the gateway: one client asks the built-in reference server (`python -m bench.mock`) for one
token, the three classes in turn within every round, so that what else the machine does meets all of them; the difference to `off` is of each round.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from stack.privacy import create_key
from stack.runtime.net import LOOPBACK, free_port
from stack.runtime.process import Child
from stack.serving.decisions import Decider
from stack.serving.envoy_process import gateway_before
from stack.serving.gateway import Pool
from stack.serving.judge import Call
from stack.serving.keys import ApiKey, KeyRing, hash_key, new_key, write_keys
from stack.serving.policy import GatewayPolicy, load_policy
from stack.serving.redaction import build_redactors
from stack.serving.tenants import RateClass, Redact

WAYS = ("off", "mask", "pseudonym")
BEST_OF = 7
PLAIN = "The clinic asks on which days the nurse is at the school and who may open the store. "
VALUES = "Write to ann@clinic.co.ke, call +254 712 345678 or pay with 4111 1111 1111 1111. "


def bodies() -> dict[str, bytes]:
    def chat(*texts: str) -> bytes:
        messages = [{"role": "user" if number % 2 == 0 else "assistant", "content": text} for number, text in enumerate(texts)]
        return json.dumps({"model": "mock", "max_tokens": 1, "messages": messages}).encode()

    return {
        "short chat (85 characters), nothing to take out": chat(PLAIN),
        "short chat (80 characters), 3 values": chat(VALUES),
        "20 turns of 425 characters, nothing to take out": chat(*[PLAIN * 5] * 20),
        "20 turns of 425 characters, 60 values": chat(*[PLAIN * 4 + VALUES] * 20),
        "199,000 characters, nothing to take out": chat(PLAIN * 2340),
        "199,000 characters, 4,680 values": chat((PLAIN + VALUES) * 1190),
    }


def policy_of(folder: Path) -> GatewayPolicy:
    create_key(folder / "pii.key")
    classes = {
        "default": RateClass(redact="off"),
        "mask": RateClass(redact=Redact()),
        "pseudonym": RateClass(redact=Redact(how="pseudonym", key_file=str(folder / "pii.key"))),
    }
    return load_policy().model_copy(update={"classes": classes})


def decision_us(decider: Decider, key: str, body: bytes) -> float:
    async def gone() -> bool:
        return False

    call = Call("POST", "/v1/chat/completions", b"", (f"Bearer {key}",), body)
    times = max(2, 400_000 // (len(body) + 2000))

    async def many() -> float:
        began = time.perf_counter()
        for _ in range(times):
            await decider.decide(call, "r", gone)
        return (time.perf_counter() - began) / times * 1e6

    return min(asyncio.run(many()) for _ in range(BEST_OF))


@contextmanager
def mock(folder: Path) -> Iterator[str]:
    port = free_port()
    child = Child.start("mock", [sys.executable, "-m", "bench.mock", "--port", str(port)], log=folder / "mock.log")
    try:
        child.wait_ready(lambda: answers(port), timeout_s=30)
        yield f"{LOOPBACK}:{port}"
    finally:
        child.stop()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://{LOOPBACK}:{port}/health", trust_env=False).status_code < 500
    except httpx.TransportError:
        return False


def rounds(url: str, keys: dict[str, str], body: bytes, count: int) -> dict[str, list[float]]:
    """Milliseconds of every request, by way."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        for number in range(count + 5):
            for way in WAYS[number % 3 :] + WAYS[: number % 3]:
                headers = {"authorization": f"Bearer {keys[way]}", "content-type": "application/json"}
                began = time.perf_counter()
                client.post("/v1/chat/completions", content=body, headers=headers).raise_for_status()
                if number >= 5:
                    found[way].append((time.perf_counter() - began) * 1e3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    print(f"command: {' '.join(['python', *sys.argv])}\nmachine: {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"load average before: {os.getloadavg()[0]:.2f}\n")
    keys = {way: new_key() for way in WAYS}
    hashed = tuple(ApiKey(tenant=way, sha256=hash_key(key), rate_class="default" if way == "off" else way) for way, key in keys.items())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        policy = policy_of(folder)
        decider = Decider(policy, KeyRing(hashed), "sp-none", redactors=build_redactors(policy))
        print("| a decision, us | off | mask | pseudonym |\n|---|---|---|---|")
        for name, body in bodies().items():
            print(f"| {name} | {' | '.join(f'{decision_us(decider, keys[way], body):,.0f}' for way in WAYS)} |", flush=True)
        (folder / "engine.key").write_text("sp-none")
        write_keys(folder / "keys.json", hashed)
        engine = stack.enter_context(mock(folder))
        gateway = stack.enter_context(gateway_before((Pool(engines=(engine,)),), policy, folder))
        print("\n| a request through the gateway, ms, median | off | mask: more than off | pseudonym: more than off |\n|---|---|---|---|")
        for name, body in bodies().items():
            found = rounds(gateway.url, keys, body, options.rounds if len(body) < 100_000 else max(10, options.rounds // 10))
            more = [statistics.median(own - off for own, off in zip(found[way], found["off"], strict=True)) for way in WAYS[1:]]
            print(f"| {name} | {statistics.median(found['off']):.2f} | {more[0]:+.2f} | {more[1]:+.2f} |", flush=True)
    print(f"\nload average after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
