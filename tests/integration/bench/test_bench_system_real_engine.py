"""The watch against the real engine: its page has the names we look for, and its figures are those the client measured."""

from io import StringIO
from pathlib import Path

import pytest

from bench import Summary, Workload
from bench.load.endpoint import read_api_key
from bench.results.files import SYSTEM
from bench.run import RunOptions, Watching, run_workload
from bench.system.cache_guard import reset_prefix_cache
from bench.system.readings import labels_text
from bench.system.table import read_table
from bench.workload.models import CacheGuard
from stack.runtime.progress import Reporter
from stack.serving.session import Session

pytestmark = pytest.mark.slow

WORDS = " ".join(["measure", "a", "server", "that", "knows", "its", "prompts"] * 60)
"""Some 450 tokens: more than three of the blocks in which the CPU engine's prefix cache compares."""


def run(served: Session, out: Path, *, seed: int, requests: int = 12) -> Summary:
    """Through the gateway, while the engine itself is watched."""
    document = {
        "name": "watched",
        "model": served.model,
        "arrivals": {"kind": "concurrency", "streams": 2},
        "prompts": {"kind": "text", "text": WORDS, "max_tokens": 16, "ignore_eos": True},
        "stop": {"requests": requests},
    }
    watching = Watching(metrics_url=f"{served.engine_url}/metrics", every_s=0.25)
    return run_workload(
        Workload.model_validate(document),
        url=served.gateway_url,
        api_key=read_api_key(served.api_key_file),
        out=out,
        seed=seed,
        reporter=Reporter(StringIO()),
        options=RunOptions(watching=watching, report=False),
    )


def test_the_engines_own_latencies_are_those_the_client_measured(served: Session, tmp_path: Path) -> None:
    found = run(served, tmp_path, seed=1001)
    view = found.system
    assert view is not None
    # A busy machine may keep one reading waiting for longer than it may take.
    assert view.sources["engine"].failures <= view.sources["engine"].samples * 0.05
    assert (view.offered.sent, view.offered.answered, view.offered.server, view.invalid_reasons) == (12, 12, 12, ())
    assert (view.ttft.server_count, view.e2e.server_count, view.generation_tokens) == (12, 12, 12 * 16)
    for name in ("ttft", "itl", "e2e"):
        pair = getattr(view, name)
        # Between the two lie the gateway, the engine's HTTP server and its tokenizer, on a machine that has other work.
        assert pair.client_ms == pytest.approx(pair.server_ms, rel=0.2, abs=25), name
    assert view.running is not None
    assert view.running.max is not None
    assert view.running.max >= 1
    assert any(gauge.metric == "kv_cache_usage_perc" and gauge.max for gauge in view.gauges)
    kept = set(read_table(tmp_path / SYSTEM).rows["metric"].to_pylist())
    assert {"num_preemptions_total", "prefix_cache_queries_total", "prefix_cache_hits_total", "prompt_tokens_total", "request_queue_time_seconds_sum"} <= kept
    assert labels_text({"engine": "0", "model_name": served.model}) in set(read_table(tmp_path / SYSTEM).rows["labels"].to_pylist())


def test_a_repeated_seed_is_caught_although_its_prompts_are_salted(served: Session, tmp_path: Path) -> None:
    first = run(served, tmp_path / "first", seed=2002, requests=4)
    again = run(served, tmp_path / "again", seed=2002, requests=4)
    assert first.system is not None
    assert first.system.prefix_cache_hit_rate is not None
    assert first.system.prefix_cache_hit_rate < 0.1
    assert "prefix cache" not in " ".join(first.invalid_reasons)
    assert not again.valid
    assert "came from the server's prefix cache" in " ".join(again.invalid_reasons)


def test_an_engine_that_is_not_in_development_mode_says_that_it_offers_no_reset(served: Session) -> None:
    assert reset_prefix_cache(CacheGuard(), url=served.gateway_url, metrics_url=f"{served.engine_url}/metrics") == "not reset: HTTP 404"
