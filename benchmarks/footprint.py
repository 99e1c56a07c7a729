"""What a run takes beside CPU: time from the command to its first request, and memory for a million tokens.

    .venv/bin/python benchmarks/footprint.py [--quick]

The reference server (`python -m bench.mock`) logs when it had read each request, on the clock of this machine; the command's time begins
just before its process is made. Memory is the largest resident set of the command and of everything it started (getrusage of the
waited-for children): reading the samples and drawing the page included. `client.peak_rss_mb` is that of the load alone.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stack.runtime.process import Child

STREAMS, TOKENS_A_REQUEST = 128, 500
STARTS = 5
COMMAND = [sys.executable, "-m", "stack.cli.main", "bench", "run"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the tokens: a check of the script")
    tokens = 1_000_000 // (20 if parser.parse_args().quick else 1)
    print(f"command: {' '.join(['python', *sys.argv])}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts_s = [start_s(folder / str(number)) for number in range(STARTS)]
        print(f"from the command to its first request: {min(starts_s):.2f} to {max(starts_s):.2f} s in {STARTS} runs")
        print(f"{tokens} tokens, {STREAMS} streams: " + memory(folder / "million", tokens))


def start_s(folder: Path) -> float:
    """Seconds from making the process to the first request at the server."""
    made_ns, _, received_ns = run(folder, {"arrivals": "{kind: poisson, rate: 100}", "max_tokens": 4, "requests": 20}, ["--ttft-ms", "5"])
    return (min(received_ns) - made_ns) / 1e9


def memory(folder: Path, tokens: int) -> str:
    """In words: the load's, and the whole command's."""
    load = {"arrivals": f"{{kind: concurrency, streams: {STREAMS}}}", "max_tokens": TOKENS_A_REQUEST, "requests": tokens // TOKENS_A_REQUEST}
    _, summary, _ = run(folder, load, ["--ttft-ms", "20", "--token-interval-ms", "5"])
    whole_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    verdict = "valid" if summary["valid"] else "; ".join(summary["invalid_reasons"])
    client = summary["client"]
    return f"load {client['peak_rss_mb']:.0f} MiB, whole command {whole_mb:.0f} MiB; {client['cpu_us_per_token']:.1f} us CPU a token; {verdict}"


def run(folder: Path, load: dict[str, object], options: list[str]) -> tuple[int, dict[str, object], list[int]]:
    """One `bench run --json`: when its process was made, what it printed, and when the server had read each request."""
    folder.mkdir()
    prompts = f"{{kind: text, text: hello, max_tokens: {load['max_tokens']}}}"
    (folder / "load.yaml").write_text(f"{{model: mock, arrivals: {load['arrivals']}, prompts: {prompts}, stop: {{requests: {load['requests']}}}}}")
    log, output = folder / "truth.jsonl", folder / "mock.out"
    server = Child.start("mock", [sys.executable, "-m", "bench.mock", "--log", str(log), *options], log=output)
    try:
        server.wait_ready(lambda: output.read_text().endswith("\n"), timeout_s=30)
        made_ns = time.monotonic_ns()
        done = subprocess.run(
            [*COMMAND, str(folder / "load.yaml"), "--url", output.read_text().split()[-1], "--out", str(folder / "out"), "--json"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    finally:
        server.stop()
    return made_ns, json.loads(done.stdout), [json.loads(line)["received_ns"] for line in log.read_text().splitlines()]


if __name__ == "__main__":
    main()
