"""Repeats, comparison, kept text and other tools' columns, over real runs against the reference server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RunLoad, StartMock  # type: ignore[import-not-found]

from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import read_samples

pytestmark = pytest.mark.slow

WORKLOAD = (
    "{model: mock, arrivals: {kind: concurrency, streams: 4}, prompts: {kind: text, text: hello, max_tokens: 8}, stop: {requests: 60}, slo: {ttft_ms: 1000}}"
)


def stackproof(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "stack.cli.main", *arguments], check=False, cwd=place, capture_output=True, text=True, timeout=120)


def test_repeats_have_intervals_over_runs_and_are_compared_run_by_run(tmp_path: Path, start_mock: StartMock) -> None:
    (tmp_path / "load.yaml").write_text(WORKLOAD)
    for name, ttft in (("a", "20"), ("b", "80")):
        url = start_mock("--ttft-ms", ttft, "--token-interval-ms", "1").url
        done = stackproof(tmp_path, "bench", "run", "load.yaml", "--url", url, "--repeats", "3", "--seed", "5", "--out", name, "--json")
        repeats = json.loads(done.stdout)
        assert done.returncode == (0 if repeats["valid"] else 1)
        assert len(set(repeats["seeds"])) == 3
        low, high = repeats["figures"]["ttft_ms.p50"]["interval_95"]
        assert low < repeats["figures"]["ttft_ms.p50"]["mean"] < high
        assert json.loads((tmp_path / name / "repeats.json").read_text()) == repeats
    worse = stackproof(tmp_path, "bench", "compare", "a", "b", "--json", "--allow-invalid")
    assert worse.returncode == 1
    verdicts = {figure["name"]: figure["verdict"] for figure in json.loads(worse.stdout)["figures"]}
    assert verdicts["ttft_ms.p50"] == "worse"
    assert verdicts["goodput.share"] == "cannot tell"
    assert "B is better" in stackproof(tmp_path, "bench", "compare", "b", "a", "--allow-invalid").stdout


def test_runs_of_other_workloads_are_refused_in_one_line_with_status_2(tmp_path: Path, start_mock: StartMock) -> None:
    url = start_mock().url
    for name, tokens in (("a", 8), ("b", 9)):
        (tmp_path / "load.yaml").write_text(WORKLOAD.replace("max_tokens: 8", f"max_tokens: {tokens}").replace("requests: 60", "requests: 8"))
        stackproof(tmp_path, "bench", "run", "load.yaml", "--url", url, "--out", name)
    refused = stackproof(tmp_path, "bench", "compare", "a", "b")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "prompts.max_tokens" in line


def test_text_is_kept_only_when_asked_for_and_counted_with_the_tokenizer_given(tmp_path: Path, start_mock: StartMock) -> None:
    models, pre = pytest.importorskip("tokenizers.models"), pytest.importorskip("tokenizers.pre_tokenizers")
    tokenizer = pytest.importorskip("tokenizers").Tokenizer(models.WordLevel({"tok": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "load.yaml").write_text(WORKLOAD.replace("requests: 60", "requests: 8"))
    url = start_mock("--tokens-per-chunk", "4").url
    plain = stackproof(tmp_path, "bench", "run", "load.yaml", "--url", url, "--out", "plain", "--json")
    kept = stackproof(tmp_path, "bench", "run", "load.yaml", "--url", url, "--out", "kept", "--keep-text", "--tokenizer", "tokenizer.json", "--json")
    assert json.loads(plain.stdout)["token_check"]["agrees"] is None
    assert {"by": "text", "usage_tokens": 64, "received_tokens": 64, "agrees": True}.items() <= json.loads(kept.stdout)["token_check"].items()
    texts = {name: read_samples(tmp_path / name / REQUESTS, tmp_path / name / TOKENS).requests["text"].to_pylist() for name in ("plain", "kept")}
    assert set(texts["plain"]) == {None}
    assert [text.split() for text in texts["kept"]] == [["tok"] * 8] * 8


def test_the_columns_of_other_tools_show_their_faults_and_ours_do_not(start_mock: StartMock, run_load: RunLoad) -> None:
    """A role chunk at once and a finish 100 ms late: truth 50 ms to the first of 16 tokens, 5 ms apart."""
    summary = run_load(start_mock("--ttft-ms", "50", "--token-interval-ms", "5", "--role-first", "--late-ms", "100")).summary
    ours, vllm, guidellm, aiperf = summary.metrics, summary.compat.vllm, summary.compat.guidellm, summary.compat.aiperf
    assert vllm.ttft_ms.min < 25  # the role chunk
    assert ours.ttft_ms.min >= 50
    assert vllm.e2el_ms.min > 224 > ours.e2e_ms.min  # the finish chunk
    assert vllm.tpot_ms.p50 > 1.5 * ours.tpot_ms.p50
    assert vllm.itl_ms.max > 99
    assert guidellm.tpot_ms.p50 > 1.3 * ours.tpot_ms.p50  # the time to first token is in it
    assert guidellm.request_latency_ms.min > 224
    assert aiperf.itl_ms.p50 == ours.tpot_ms.p50
