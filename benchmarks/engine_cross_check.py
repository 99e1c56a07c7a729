"""The same small load on the real engine as told by our bench, by `vllm bench serve`, and by the engine's own metrics.

    .venv/bin/python benchmarks/engine_cross_check.py [--quick]

It needs the extra `cpu` (or `gpu`), the demo's model and a machine that does nothing else; some six minutes on two cores. The engine
is started without a gateway. Each tool sends the same load, one after the other in the order ours, theirs, theirs, ours, as the speed of
the machine drifts; both send random words at temperature 0, each run with a seed of its own, so that no prompt comes twice.

"server" is what the engine's /metrics grew by while one tool ran: sums over counts of its histograms, read by the same process
beside both tools. Its TPOT is its inter-token latency: the same mean, when all replies are of one length. Its tokens/s are those of all
requests over the time between the halfway points of the pairs of readings around the first activity and around the last token.
Our tokens/s are over the whole run here, first request to last answer, as vLLM's are.
"""

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from bench import Workload
from bench.results.files import SYSTEM
from bench.run import RunOptions, Watching, run_workload
from bench.system.series import SeriesBook
from bench.system.table import read_table
from bench.system.watch import SystemWatch
from stack.evidence.provenance import host
from stack.runtime.progress import Reporter
from stack.serving.chat import read_key
from stack.serving.session import Session, serve_session
from stack.serving.vllm_process import engine_version
from stack.serving.weights import model_dir

STREAMS, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS = 4, 64, 32, 48
EVERY_S = 0.25
FIGURES = {"ttft": "TTFT, ms", "tpot": "TPOT, ms", "e2e": "E2E, ms", "tokens_per_s": "output tokens/s"}
HISTOGRAMS = {"ttft": "time_to_first_token_seconds", "tpot": "inter_token_latency_seconds", "e2e": "e2e_request_latency_seconds"}
VLLM_NAMES = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2e": "e2el"}
# The console script `vllm` asks for the metadata of a distribution named vllm, which the CPU build is not: this is what it would call.
VLLM_BENCH = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""

Figures = dict[str, float]
"""Means in ms, tokens/s and counts, by name."""


@dataclass(frozen=True)
class Measured:
    """One run of a tool: its own figures, those by vLLM's definitions, and the engine's."""

    tool: str
    own: Figures
    by_vllm: Figures
    server: Figures
    remark: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sixth of the requests: a check of the script, not of the tools")
    requests = REQUESTS // 6 if parser.parse_args().quick else REQUESTS
    describe_machine()
    with tempfile.TemporaryDirectory() as name, serve_session(gateway=False, run_dir=Path(name) / "session") as session:
        folder = Path(name)
        run_ours(session, folder / "warm-up", 1, 2 * STREAMS)
        order = (run_ours, run_theirs, run_theirs, run_ours)
        runs = [watched(session, folder / f"{number}", number, requests, run) for number, run in enumerate(order, start=2)]
    print_runs(runs)
    print_ratios(runs)
    print_definitions(runs)


def describe_machine() -> None:
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "unknown")
    me = host()
    print(f"command: {' '.join(['python', *sys.argv])}")
    print(f"machine: {model}, {me.cpu_count} cores, {me.system}, load average {os.getloadavg()[0]:.2f}")
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "aiohttp", "uvloop"))
    print(f"versions: Python {me.python}, {engine_version()}, {libraries}")


Run = Callable[[Session, Path, int, int], tuple[str, Figures, Figures, str]]


def watched(session: Session, folder: Path, seed: int, requests: int, run: Run) -> Measured:
    """Let one tool run while the engine's metrics are read."""
    with SystemWatch.start(url=session.engine_url, out=folder, every_s=EVERY_S) as watch:
        watch.wait_first_sample()
        started_ns = time.monotonic_ns()
        tool, own, by_vllm, remark = run(session, folder / "run", seed, requests)
        watch.finish(started_ns)
    return Measured(tool, own, by_vllm, server_figures(SeriesBook(read_table(folder / SYSTEM), model=session.model)), remark)


def run_ours(session: Session, folder: Path, seed: int, requests: int) -> tuple[str, Figures, Figures, str]:
    document = {
        "name": "cross-check",
        "model": session.model,
        "temperature": 0,
        "arrivals": {"kind": "concurrency", "streams": STREAMS},
        "prompts": {"kind": "synthetic", "input_tokens": INPUT_TOKENS, "max_tokens": OUTPUT_TOKENS, "ignore_eos": True},
        "stop": {"requests": requests},
    }
    found = run_workload(
        Workload.model_validate(document),
        url=session.engine_url,
        api_key=read_key(session.engine_key_file),
        out=folder,
        seed=seed,
        reporter=Reporter(StringIO()),
        options=RunOptions(watching=Watching(on=False), report=False),  # `watched` reads the engine beside both tools alike
    )
    metrics, vllm, rates = found.metrics, found.compat.vllm, found.whole_run_rates
    own = {"ttft": metrics.ttft_ms.mean, "tpot": metrics.tpot_ms.mean, "e2e": metrics.e2e_ms.mean}
    by_vllm = {"ttft": vllm.ttft_ms.mean, "tpot": vllm.tpot_ms.mean, "itl": vllm.itl_ms.mean, "e2e": vllm.e2el_ms.mean}
    by_vllm["gaps"] = vllm.itl_ms.count / found.requests.ok
    remark = "; ".join((f"events/read {found.client.events_per_read or 0:.2f}", *found.invalid_reasons))
    return "ours", known(own | {"tokens_per_s": rates.output_tokens_per_s}), known(by_vllm), remark


def run_theirs(session: Session, folder: Path, seed: int, requests: int) -> tuple[str, Figures, Figures, str]:
    folder.mkdir(parents=True)
    options = f"--backend openai-chat --endpoint /v1/chat/completions --base-url {session.engine_url} --temperature 0 --disable-tqdm --dataset-name random"
    options += f" --random-input-len {INPUT_TOKENS} --random-output-len {OUTPUT_TOKENS} --num-prompts {requests} --max-concurrency {STREAMS} --seed {seed}"
    options += " --percentile-metrics ttft,tpot,itl,e2el --save-result --save-detailed --result-filename result.json"
    names = ["--model", session.model, "--served-model-name", session.model, "--tokenizer", str(model_dir(session.model))]
    environment = os.environ | {"OPENAI_API_KEY": read_key(session.engine_key_file) or "", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    command = [sys.executable, "-c", VLLM_BENCH, *options.split(), *names, "--result-dir", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        sys.exit(f"vllm bench serve ended with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = json.loads((folder / "result.json").read_text())
    own = {key: found[f"mean_{name}_ms"] for key, name in VLLM_NAMES.items()}
    gaps = sum(map(len, found["itls"])) / found["completed"]
    return "vllm", {**own, "tokens_per_s": found["output_throughput"]}, {**own, "gaps": gaps}, ""


def server_figures(book: SeriesBook) -> Figures:
    figures = {key: 1e3 * grown(book, f"{name}_sum") / grown(book, f"{name}_count") for key, name in HISTOGRAMS.items()}
    counts = {"requests": grown(book, "request_success_total")}
    counts |= {"input_tokens": grown(book, "prompt_tokens_total"), "output_tokens": grown(book, "generation_tokens_total")}
    counts["hit_rate"] = grown(book, "prefix_cache_hits_total") / grown(book, "prefix_cache_queries_total")
    tokens, running = book.added("generation_tokens_total"), book.added("num_requests_running")
    assert tokens is not None
    assert running is not None
    active = ((tokens.values > tokens.values[0]) | (running.values > 0)).argmax()
    done = (tokens.values == tokens.values[-1]).argmax()
    span_ns = (tokens.t_ns[done] + tokens.t_ns[done - 1] - tokens.t_ns[active] - tokens.t_ns[active - 1]) / 2
    return {**figures, **counts, "tokens_per_s": counts["output_tokens"] / span_ns * 1e9}


def grown(book: SeriesBook, metric: str) -> float:
    value = book.grown(metric)
    if value is None:
        sys.exit(f"the engine's metrics do not tell {metric}")
    return value


def known(figures: dict[str, float | None]) -> Figures:
    missing = [name for name, value in figures.items() if value is None]
    if missing:
        sys.exit(f"our bench does not tell {', '.join(missing)}")
    return {name: value for name, value in figures.items() if value is not None}


def print_runs(runs: list[Measured]) -> None:
    print("\n| run | " + " | ".join(f"{title}: tool / server (ratio)" for title in FIGURES.values()) + " | requests, tokens in / out, hit rate by the server |")
    print("|---" * (len(FIGURES) + 2) + "|")
    for run in runs:
        cells = [f"{run.own[key]:.2f} / {run.server[key]:.2f} ({run.own[key] / run.server[key]:.3f})" for key in FIGURES]
        counts = "{requests:.0f}, {input_tokens:.0f} / {output_tokens:.0f}, {hit_rate:.3f}".format(**run.server)
        print(f"| {run.tool} | {' | '.join(cells)} | {counts} |")
    for number, run in enumerate(runs, start=1):
        if run.remark:
            print(f"run {number} ({run.tool}): {run.remark}")


def average(runs: list[Measured], tool: str, what: Callable[[Measured], float]) -> float:
    values = [what(run) for run in runs if run.tool == tool]
    return sum(values) / len(values)


def print_ratios(runs: list[Measured]) -> None:
    print("\n| mean of two runs | ours | vLLM's bench | ours / vLLM's | ours / server | vLLM's / server |\n|---|---|---|---|---|---|")
    for key, title in FIGURES.items():
        ours, theirs = (average(runs, tool, lambda run: run.own[key]) for tool in ("ours", "vllm"))  # noqa: B023
        by_server = [average(runs, tool, lambda run: run.own[key] / run.server[key]) for tool in ("ours", "vllm")]  # noqa: B023
        print(f"| {title} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.3f} | {by_server[0]:.3f} | {by_server[1]:.3f} |")


def print_definitions(runs: list[Measured]) -> None:
    print("\n| by vLLM's definitions | our `compat.vllm` | vLLM's bench | ratio |\n|---|---|---|---|")
    for key, title in {**{key: f"{name}_ms" for key, name in VLLM_NAMES.items()}, "gaps": "gaps a reply in itl_ms"}.items():
        ours, theirs = (average(runs, tool, lambda run: run.by_vllm[key]) for tool in ("ours", "vllm"))  # noqa: B023
        print(f"| {title} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.3f} |")


if __name__ == "__main__":
    main()
