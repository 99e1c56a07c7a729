"""The plan's engine beside one with vLLM's own defaults: throughput, and TTFT at the same rate.

    .venv/bin/python benchmarks/plan_beside_defaults.py [--requests 48] [--rate 0.4]

It needs the extra `cpu` (or `gpu`), the demo's model and a machine that does nothing else; some ten minutes on two cores, since the defaults compile.
Each engine is started alone, without a gateway, with the same weights. "defaults" is `--model` and what no engine here goes without (loopback, key,
offline, no code of models, no media), and a share of the memory to reserve, since vLLM's own 0.92 refuses to start where less of it is free; every
other choice of the plan is left to vLLM. Closed loop for throughput, then Poisson arrivals at one rate for both, with the same seed.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from bench import Workload
from bench.results.summary import Summary
from bench.run import run_workload
from stack.hardware_profiles import collect_inventory
from stack.runtime.net import LOOPBACK, free_port
from stack.runtime.progress import Reporter
from stack.serving.keys import new_key
from stack.serving.models import CI_MODEL, find_model
from stack.serving.plan import EnginePlan, make_plan
from stack.serving.pools import EngineSpec
from stack.serving.vllm_process import engine_version, start_engine
from stack.serving.weights import model_dir

STREAMS, INPUT_TOKENS, OUTPUT_TOKENS, SEED = 8, 64, 32, 7
MEMORY_SHARE = "0.6"
RULES = (
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "VLLM_NO_USAGE_STATS",
    "DO_NOT_TRACK",
    "VLLM_HOST_IP",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS",
    "VLLM_MAX_N_SEQUENCES",
)
"""Variables without which no engine is started here (`stack/serving/engine_rules.py`)."""


class Defaults(EnginePlan):
    """A plan that chooses nothing."""

    def vllm_arguments(self, served_name: str | None = None) -> tuple[str, ...]:
        safe = ("--no-trust-remote-code", "--allowed-media-domains", "media.invalid", "--structured-outputs-config.backend", "xgrammar")
        return ("--served-model-name", served_name or self.model, "--gpu-memory-utilization", MEMORY_SHARE, *safe)

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in super().environment().items() if name in RULES}


@contextmanager
def engine(plan: EnginePlan, folder: Path) -> Iterator[tuple[str, str]]:
    key, port = new_key(), free_port()
    spec = EngineSpec("engine", plan.model, "generate", plan)
    with tempfile.TemporaryDirectory(prefix="stackproof-") as private:
        child = start_engine(spec, model=model_dir(plan.model), port=port, key=key, private=Path(private), log=folder / "engine.log")
        try:
            yield f"http://{LOOPBACK}:{port}", key
        finally:
            child.stop()


def measure(url: str, key: str, out: Path, arrivals: dict[str, object], requests: int) -> Summary:
    workload = Workload.model_validate(
        {
            "model": CI_MODEL,
            "arrivals": arrivals,
            "prompts": {"kind": "synthetic", "input_tokens": INPUT_TOKENS, "max_tokens": OUTPUT_TOKENS, "tokenizer": str(model_dir(CI_MODEL))},
            "warmup": {"requests": 4},
            "stop": {"requests": requests},
            "timeout_s": 300,
        }
    )
    return run_workload(workload, url=url, api_key=key, out=out, seed=SEED, reporter=Reporter(StringIO()))


def tell(name: str, what: str, summary: Summary) -> None:
    ttft, tpot, rates = summary.metrics.ttft_ms, summary.metrics.tpot_ms, summary.whole_run_rates
    told = "valid" if summary.valid else "; ".join(summary.invalid_reasons)
    print(
        f"{name}, {what}: {rates.output_tokens_per_s:.1f} tokens/s, TTFT p50 {ttft.p50:.0f} p99 {ttft.p99:.0f} ms, TPOT p50 {tpot.p50:.1f} ms,"
        f" {summary.requests.ok} answered, {summary.requests.failed} failed, {told}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--rate", type=float, default=0.4, metavar="PER_SECOND")
    options = parser.parse_args()
    print(f"$ python {' '.join(sys.argv)}")
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {engine_version()}, load {os.getloadavg()[0]:.2f}")
    plan = make_plan(collect_inventory(), find_model(CI_MODEL))
    found: dict[str, tuple[Summary, Summary]] = {}
    for name, chosen in (("plan", plan), ("defaults", Defaults.model_validate(plan.model_dump()))):
        with tempfile.TemporaryDirectory() as place, engine(chosen, Path(place)) as (url, key):
            closed = measure(url, key, Path(place) / "closed", {"kind": "concurrency", "streams": STREAMS}, options.requests)
            tell(name, f"{STREAMS} streams", closed)
            opened = measure(url, key, Path(place) / "open", {"kind": "poisson", "rate": options.rate}, options.requests)
            tell(name, f"{options.rate:g} requests/s", opened)
            found[name] = closed, opened
    (planned, planned_open), (default, default_open) = found["plan"], found["defaults"]
    rates = planned.whole_run_rates.output_tokens_per_s, default.whole_run_rates.output_tokens_per_s
    ttft = planned_open.metrics.ttft_ms.p99, default_open.metrics.ttft_ms.p99
    print(f"plan / defaults: throughput {(rates[0] or 0) / (rates[1] or 1):.2f}, TTFT p99 at the same rate {(ttft[0] or 0) / (ttft[1] or 1):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
