"""A record's figures follow from its samples, to the last bit."""

from pathlib import Path

import pytest
from bench_kit import request, workload, write
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.evidence import draft, figures, recompute
from bench.results.files import REQUESTS
from bench.results.metrics import summarize
from stack.evidence import EvidenceError, EvidenceStore, SigningKey, StoredRecord


@pytest.fixture
def stored(tmp_path: Path) -> StoredRecord:
    summary = summarize(write(tmp_path, [request(index) for index in range(80)], workload(slo={"ttft_ms": 60})))
    (tmp_path / "summary.json").write_text(summary.model_dump_json())
    (tmp_path / "workload.yaml").write_text("{}")
    key = SigningKey(Ed25519PrivateKey.generate())
    return EvidenceStore(tmp_path / "evidence", key=lambda: key).write(*draft(summary, tmp_path))


def test_recomputing_gives_exactly_the_figures_of_the_record(stored: StoredRecord) -> None:
    assert tuple(recompute(stored)) == stored.record.figures
    named = {figure.name: figure for figure in stored.record.figures}
    assert named["bench.tiny.ttft_ms.p50"].value == 52
    assert named["bench.tiny.output_tokens_per_s"].value == pytest.approx(50, rel=0.05)
    assert named["bench.tiny.goodput.share"].value == 1
    assert set(named["bench.tiny.ttft_ms.p50"].derived_from) == {"requests.parquet", "tokens.parquet"}


def test_a_percentile_without_enough_samples_says_so(stored: StoredRecord) -> None:
    figure = stored.record.figure("bench.tiny.ttft_ms.certified.p99")
    assert figure is not None
    assert figure.value is None
    assert "582 more" in figure.note


def test_samples_that_cannot_be_read_are_a_fault_of_the_evidence(stored: StoredRecord) -> None:
    stored.artifact_path(REQUESTS).write_bytes(b"PAR1 nonsense")
    with pytest.raises(EvidenceError, match="bench-"):
        recompute(stored)


def test_an_invalid_run_carries_its_verdict_into_the_record(tmp_path: Path) -> None:
    found = {figure.name: figure for figure in figures(summarize(write(tmp_path, [request(0)], state="interrupted")))}
    assert found["bench.tiny.valid"].value is False
    assert "interrupted" in found["bench.tiny.valid"].note


def test_intervals_tails_and_checks_are_figures_as_well(stored: StoredRecord) -> None:
    named = {figure.name.removeprefix("bench.tiny."): figure for figure in stored.record.figures}
    assert (named["ttft_ms.p50.low_95"].value, named["ttft_ms.p50.high_95"].value) == (52, 52)
    assert named["ttft_ms.p99.low_95"].value is None
    assert "p99 (368)" in named["ttft_ms.p99.low_95"].note
    assert named["goodput.share.low_95"].value == pytest.approx(0.954, abs=0.001)
    assert (named["with_failures.ttft_ms.p99"].value, named["failed_share"].value) == (52, 0)
    assert (named["token_check.mismatch"].value, named["steady"].value) == (0, True)
