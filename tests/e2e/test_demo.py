"""The main job on real parts, on a fraction of the data; the full one is `make demo`."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stack.evidence import EvidenceStore

pytestmark = pytest.mark.slow
STACKPROOF = Path(sys.executable).with_name("stackproof")
KINDS = {"inventory", "model", "serving", "bench", "labeling", "app", "audit", "demo"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    out = tmp_path_factory.mktemp("demo")
    done = subprocess.run([STACKPROOF, "demo", "--quick", "--json", "--out", str(out)], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    yield json.loads(done.stdout)
    shutil.rmtree(out)


def test_the_demo_ends_with_a_dossier_that_verifies(demo: dict[str, object]) -> None:
    assert demo["verified"] is True
    assert Path(str(demo["page"])).stat().st_size > 10_000


def test_every_layer_left_its_evidence(demo: dict[str, object]) -> None:
    evidence = EvidenceStore(Path(str(demo["dossier"])) / "evidence")
    assert {stored.record.kind for stored in evidence.verify()} == KINDS


def test_nothing_is_left_running(demo: dict[str, object]) -> None:
    run_dir = str(demo["run_dir"])
    left = [process.pid for process in psutil.process_iter() if any(run_dir in word for word in _command_line(process))]
    assert left == []


def test_one_changed_byte_fails_the_dossier_and_names_the_file(demo: dict[str, object]) -> None:
    dossier = Path(str(demo["dossier"]))
    victim = next((dossier / "evidence" / "artifacts").rglob("requests.parquet"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    done = subprocess.run([STACKPROOF, "dossier", "verify", str(dossier)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert str(victim.relative_to(dossier)) in done.stderr
    assert "Traceback" not in done.stderr


def test_no_key_of_the_session_stays_on_disk(demo: dict[str, object]) -> None:
    assert list(Path(str(demo["run_dir"])).rglob("*.key")) == []


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
