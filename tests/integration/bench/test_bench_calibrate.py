"""The load generator against the reference server, each with its own record."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.calibration import load_calibration
from bench.calibration.evidence import draft, recompute
from bench.calibration.run import CalibrationOptions, calibrate
from bench.workload import Workload
from stack.evidence import EvidenceStore, SigningKey
from stack.runtime.progress import Reporter

pytestmark = pytest.mark.slow


def planned(rate: float) -> Workload:
    return Workload.model_validate(
        {
            "name": "planned",
            "model": "mock",
            "arrivals": {"kind": "poisson", "rate": rate},
            "prompts": {"kind": "text", "text": "hello", "max_tokens": 8},
            "stop": {"requests": 100},
        }
    )


def test_both_sides_know_the_same_requests_and_the_figures_follow_from_their_records(tmp_path: Path) -> None:
    """No figure is held against a limit here: another load on the machine delays both sides."""
    options = CalibrationOptions(ttft_ms=30, token_interval_ms=5, duration_s=1.0)
    result = calibrate(planned(40), out=tmp_path / "cal", options=options, seed=3, reporter=Reporter(StringIO()))
    assert [(point.load, point.share) for point in result.points] == [(10, 0.25), (20, 0.5), (30, 0.75), (40, 1.0), (50, 1.25)]
    assert load_calibration(tmp_path / "cal" / "calibration.json") == result
    for point in result.points:
        summary = json.loads((tmp_path / "cal" / point.name / "summary.json").read_text())
        assert point.requests == summary["requests"]["ok"]
        # Causality: nothing was at the socket before it was due, at the server before it was at the socket, or seen before it was written.
        assert min(point.send_ms, point.transit_ms, point.read_ms) >= 0
        assert point.ttft_error_ms.mean == pytest.approx(point.send_ms + point.transit_ms + point.read_ms)
        assert point.true_ttft_ms >= 30
        assert point.server_late_ms.mean >= 0
        assert not (tmp_path / "cal" / point.name / ".truth.jsonl").exists()
    key = SigningKey(Ed25519PrivateKey.generate())
    record, artifacts = draft(result, tmp_path / "cal")
    stored = EvidenceStore(tmp_path / "evidence", key=lambda: key).write(record, artifacts)
    assert tuple(recompute(stored)) == stored.record.figures


def test_the_command_prints_the_curve_and_its_verdict_is_its_exit_status(tmp_path: Path) -> None:
    (tmp_path / "load.yaml").write_text(
        "model: mock\narrivals: {kind: concurrency, streams: 2}\nprompts: {kind: text, text: hello, max_tokens: 8}\nstop: {requests: 8}\n"
    )
    command = [sys.executable, "-m", "stack.cli.main", "bench", "calibrate", "load.yaml", "--duration", "1s", "--ttft-ms", "30", "--json", "--out", "cal"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    result = json.loads(done.stdout)
    assert [point["load"] for point in result["points"]] == [1, 2]
    resolved = not any(point["faults"] for point in result["points"] if point["share"] <= 1) and not result["verdict"]["silent"]
    assert done.returncode == (0 if resolved else 1)
    assert (result["ttft_ms"], result["workers"], result["state"]) == (30, 1, "complete")
