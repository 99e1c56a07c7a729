"""`stackproof label run` asks the real model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stack.evidence import EvidenceStore
from stack.pipelines import recompute
from stack.serving.session import Session

pytestmark = pytest.mark.slow


def test_the_shipped_pipeline_labels_real_records_with_the_real_engine(served: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKPROOF_SIGNING_KEY", str(tmp_path / "signing.pem"))
    command = [
        sys.executable,
        "-m",
        "stack.cli.main",
        "label",
        "run",
        "nusax-sentiment",
        "--url",
        served.gateway_url,
        "--api-key-file",
        str(served.api_key_file),
    ]
    options = ["--limit", "20", "--executor", "local", "--out", str(tmp_path / "out"), "--evidence", str(tmp_path / "evidence"), "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)["card"]
    assert card["counts"]["labeled"] == 20
    assert card["counts"]["failed_votes"] == {"keywords": 0, "llm": 0}
    assert card["labelers"][1]["model"] == served.model
    assert card["statistics"]["prompt_tokens"] > 20 * 20
    assert 20 <= card["statistics"]["completion_tokens"] <= 20 * 4
    assert card["statistics"]["against_gold"]["llm"]["overall"]["total"] == 20
    (stored,) = EvidenceStore(tmp_path / "evidence").verify()
    assert recompute(stored) == [figure for figure in stored.record.figures if figure.derived_from]
