"""The client tells what the reference server really did.

Another load on the machine delays server and client alike: times are held against the server's log, or against each other.
"""

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import RunLoad, StartMock  # type: ignore[import-not-found]
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench import BenchError, load_workload
from bench.load.requests import LOOK_AHEAD
from bench.results.files import TOKENS
from bench.results.metrics import summarize
from bench.run import RunOptions

pytestmark = pytest.mark.slow

PROMPT_64 = {"kind": "text", "text": "hello", "max_tokens": 64}


def test_a_closed_loop_run_leaves_samples_from_which_its_summary_follows(start_mock: StartMock, run_load: RunLoad) -> None:
    mock = start_mock("--ttft-ms", "30", "--token-interval-ms", "3")
    result = run_load(mock, warmup={"requests": 4}, seed=11, options=RunOptions())
    summary = result.summary
    assert (summary.requests.sent, summary.requests.ok, summary.requests.warmup, summary.seed) == (8, 8, 4, 11)
    assert summary.state == "complete"
    assert result.samples.tokens.num_rows == 12 * 16
    assert summary == summarize(result.samples)
    assert json.loads((result.out / "summary.json").read_text()) == summary.model_dump(mode="json")
    assert load_workload(result.out / "workload.yaml") == summary.workload
    assert sorted(path.name for path in result.out.iterdir()) == [
        "report.html",
        "requests.parquet",
        "summary.json",
        "system.parquet",
        "tokens.parquet",
        "workload.yaml",
    ]


def test_times_agree_with_the_servers_own_log(start_mock: StartMock, run_load: RunLoad) -> None:
    """More requests than are built ahead of their time, so that each must have been sent under its own number."""
    mock = start_mock("--ttft-ms", "50", "--token-interval-ms", "5")
    result = run_load(
        mock, arrivals={"kind": "poisson", "rate": 150}, stop={"requests": LOOK_AHEAD + 50}, prompts={"kind": "text", "text": "x", "max_tokens": 4}
    )
    truth = mock.truth()
    assert len(truth) == LOOK_AHEAD + 50
    rows = {row["request"]: row for row in result.samples.requests.to_pylist()}
    started_ns = result.samples.run.started_ns
    for request_id, true in truth.items():
        row = rows[int(request_id.rpartition("-")[2])]
        assert row["chunks"] == len(true["emitted_ns"])
        # Causality, exactly: nothing is seen before it was written, nothing was received before it was sent.
        assert row["first_content_ns"] + started_ns >= true["emitted_ns"][0]
        assert row["last_content_ns"] + started_ns >= true["emitted_ns"][-1]
        assert row["sent_ns"] + started_ns <= true["received_ns"]
    true_ttft_ms = sum(true["emitted_ns"][0] - true["received_ns"] for true in truth.values()) / len(truth) / 1e6
    assert result.summary.metrics.ttft_ms.mean == pytest.approx(true_ttft_ms, rel=0.5, abs=20)


def test_open_loop_sends_every_arrival_at_its_time_even_when_the_server_freezes(start_mock: StartMock, run_load: RunLoad) -> None:
    """Frozen 0.5 s of every second: a client that waits with its sends would hide the wait."""
    mock = start_mock("--ttft-ms", "10", "--token-interval-ms", "1", "--freeze-every-s", "1", "--freeze-s", "0.5")
    result = run_load(mock, arrivals={"kind": "poisson", "rate": 50}, stop={"duration_s": 2}, seed=3)
    rows = result.samples.requests
    assert result.summary.requests.ok == rows.num_rows
    assert rows.num_rows > 60
    intended = rows["intended_ns"].to_pylist()
    assert intended == sorted(intended)
    # Half of the arrivals fell into freezes and were sent in them, but for what a busy machine held up; from the intended time, the freeze shows.
    late = pc.subtract(rows["dispatched_ns"], rows["intended_ns"]).to_pylist()
    assert sum(each < 1e8 for each in late) > 0.8 * len(late)
    assert result.summary.metrics.ttft_ms.max is not None
    assert result.summary.metrics.ttft_ms.max > 350


def test_two_runs_with_one_seed_intend_the_same_times(start_mock: StartMock, run_load: RunLoad) -> None:
    mock = start_mock("--ttft-ms", "5", "--token-interval-ms", "1")
    load = {"arrivals": {"kind": "poisson", "rate": 100}, "stop": {"requests": 20}, "prompts": {"kind": "text", "text": "x", "max_tokens": 2}, "seed": 9}

    def intended() -> list[int]:
        return list(run_load(mock, **load).samples.requests["intended_ns"].to_pylist())

    assert intended() == intended()


def test_a_role_chunk_sent_at_once_is_not_the_first_token(start_mock: StartMock, run_load: RunLoad) -> None:
    summary = run_load(start_mock("--ttft-ms", "80", "--role-first")).summary
    assert summary.metrics.ttft_ms.min is not None
    assert summary.metrics.ttft_ms.min >= 80
    assert summary.metrics.chunk_gap_ms.count == 8 * 15


def test_four_tokens_a_chunk_give_chunk_gaps_of_four_intervals_and_no_inter_token_latency(start_mock: StartMock, run_load: RunLoad) -> None:
    summary = run_load(start_mock("--token-interval-ms", "10", "--tokens-per-chunk", "4"), prompts=PROMPT_64).summary
    assert summary.tokens_per_chunk == 4
    assert summary.metrics.chunk_gap_ms.mean is not None
    assert summary.metrics.chunk_gap_ms.mean > 35
    # 15 gaps for the 63 tokens after the first one.
    assert summary.metrics.tpot_ms.mean == pytest.approx(summary.metrics.chunk_gap_ms.mean * 15 / 63)
    assert summary.metrics.itl_ms.mean is None


def test_usage_and_done_that_come_late_belong_to_closed_and_not_to_the_last_token(start_mock: StartMock, run_load: RunLoad) -> None:
    mock = start_mock("--ttft-ms", "20", "--token-interval-ms", "5", "--late-ms", "200")
    metrics = run_load(mock).summary.metrics
    assert metrics.e2e_ms.mean is not None
    assert metrics.e2e_closed_ms.mean is not None
    assert metrics.ttft_ms.mean is not None
    assert metrics.tpot_ms.mean is not None
    assert metrics.e2e_closed_ms.mean - metrics.e2e_ms.mean > 150
    assert metrics.tpot_ms.mean * 15 == pytest.approx(metrics.e2e_ms.mean - metrics.ttft_ms.mean)


def test_reasoning_counts_as_content_and_the_visible_token_is_told_apart(start_mock: StartMock, run_load: RunLoad) -> None:
    mock = start_mock("--ttft-ms", "20", "--token-interval-ms", "5", "--reasoning-share", "0.5")
    result = run_load(mock, prompts=PROMPT_64)
    metrics = result.summary.metrics
    assert metrics.ttft_ms.mean is not None
    assert metrics.ttft_visible_ms.mean is not None
    assert metrics.ttft_visible_ms.mean - metrics.ttft_ms.mean > 32 * 5 * 0.8
    assert result.summary.tokens_per_chunk == 1
    assert pc.value_counts(pq.read_table(result.out / TOKENS)["kind"].cast("string")).to_pylist() == [
        {"values": "reasoning", "counts": 8 * 32},
        {"values": "text", "counts": 8 * 32},
    ]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("die", "truncated"), ("garbage", "malformed"), ("stall", "timeout")],
)
def test_a_stream_that_goes_wrong_is_counted_by_class(start_mock: StartMock, run_load: RunLoad, fault: str, status: str) -> None:
    result = run_load(start_mock("--fault", fault), timeout_s=1)
    summary = result.summary
    assert (summary.requests.sent, summary.requests.failed, summary.requests.by_class) == (8, 8, {status: 8})
    assert not summary.valid
    assert "no measured request succeeded" in summary.invalid_reasons
    assert result.samples.tokens.num_rows >= 8


def test_an_answer_without_usage_is_ok_and_its_tokens_are_unknown(start_mock: StartMock, run_load: RunLoad) -> None:
    summary = run_load(start_mock("--fault", "no-usage")).summary
    assert summary.requests.ok == 8
    assert summary.rates.output_tokens_per_s is None
    assert summary.metrics.ttft_ms.count == 8


def test_connections_are_kept_and_used_again(start_mock: StartMock, run_load: RunLoad) -> None:
    result = run_load(start_mock("--ttft-ms", "5", "--token-interval-ms", "1"), stop={"requests": 40})
    rows = result.samples.requests
    lag_ms = pc.divide(pc.subtract(rows["sent_ns"], rows["intended_ns"]), 1e6)
    assert pc.quantile(lag_ms, 0.5)[0].as_py() < 5
    assert result.summary.requests.ok == 40


def test_https_works_with_an_authority_of_ones_own_and_is_refused_without(start_mock: StartMock, run_load: RunLoad, tmp_path: Path) -> None:
    certificate, authority = tmp_path / "server.pem", tmp_path / "ca.pem"
    key, signed = self_signed("127.0.0.1")
    certificate.write_bytes(signed + key)
    authority.write_bytes(signed)
    mock = start_mock("--tls-cert", str(certificate), "--ttft-ms", "30")
    summary = run_load(mock, ca_file=authority).summary
    assert summary.requests.ok == 8
    assert summary.metrics.ttft_ms.min is not None
    assert summary.metrics.ttft_ms.min >= 30
    with pytest.raises(BenchError, match="certificate not trusted"):
        run_load(mock)


def self_signed(address: str) -> tuple[bytes, bytes]:
    """A key and a certificate for one IP address, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mock")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(serialization.Encoding.PEM)


def test_the_smallest_workload_file_runs(start_mock: StartMock, run_load: RunLoad, tmp_path: Path) -> None:
    text = '{model: mock, arrivals: {kind: concurrency, streams: 64}, prompts: {kind: text, text: "hello", max_tokens: 128}, stop: {requests: 256}}'
    mock = start_mock("--ttft-ms", "50", "--token-interval-ms", "4")
    summary = run_load(mock, **yaml.load(text, yaml.CSafeLoader)).summary
    assert summary.requests.ok == 256
    assert summary.metrics.tpot_ms.p50 is not None
    assert summary.metrics.tpot_ms.p50 > 3.5
