"""A real run's files agree, its page tells it whole, and the two commands say what they found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RunLoad, StartMock  # type: ignore[import-not-found]

from bench.report import REPORT, write_report
from bench.results.reconcile import reconcile

pytestmark = pytest.mark.slow


def stackproof(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "stack.cli.main", "bench", *arguments], check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("arrivals", [{"kind": "concurrency", "streams": 4}, {"kind": "poisson", "rate": 100}])
@pytest.mark.parametrize("options", [(), ("--tokens-per-chunk", "4", "--role-first", "--reasoning-share", "0.5"), ("--fault", "no-usage"), ("--fault", "die")])
def test_the_files_of_a_run_agree_whatever_the_server_does(
    start_mock: StartMock, run_load: RunLoad, arrivals: dict[str, object], options: tuple[str, ...]
) -> None:
    result = run_load(start_mock(*options), arrivals=arrivals, warmup={"requests": 4}, stop={"requests": 40})
    assert reconcile(result.out) == []
    page = write_report(result.out).read_text()
    verdict = "VALID" if result.summary.valid else "INVALID"
    assert f">{verdict}</strong>" in page
    assert f"{result.summary.requests.ok} of {result.summary.requests.sent}" in page
    assert ("http_" in page or "truncated" in page) == (result.summary.requests.failed > 0)


def test_the_commands_write_the_page_and_check_the_files(start_mock: StartMock, run_load: RunLoad) -> None:
    out = run_load(start_mock()).out
    (out / REPORT).unlink(missing_ok=True)
    written = stackproof("report", str(out))
    assert (written.returncode, written.stdout.strip()) == (0, str(out / REPORT))
    checked = stackproof("check", str(out))
    assert (checked.returncode, checked.stdout.strip()) == (0, f"{out}: its files agree")


def test_a_forged_summary_is_named_by_both_commands_with_status_1(start_mock: StartMock, run_load: RunLoad) -> None:
    out = run_load(start_mock()).out
    document = json.loads((out / "summary.json").read_text())
    document["metrics"]["ttft_ms"]["p50"] = 1.5
    (out / "summary.json").write_text(json.dumps(document))
    checked = stackproof("check", str(out))
    (line,) = checked.stdout.splitlines()
    assert checked.returncode == 1
    assert "summary.json: metrics.ttft_ms.p50: expected" in line
    assert line.endswith("found 1.5")
    assert json.loads(stackproof("check", str(out), "--json").stdout)["findings"][0]["run"] == str(out)
    written = stackproof("report", str(out))
    assert written.returncode == 1
    assert "metrics.ttft_ms.p50" in written.stderr
    assert "INVALID</strong>" in (out / REPORT).read_text()


@pytest.mark.parametrize("command", ["report", "check"])
@pytest.mark.parametrize(("folder", "words"), [(".", "holds no run"), ("nowhere", "no such folder")])
def test_a_folder_without_a_run_is_one_line_and_status_2(tmp_path: Path, command: str, folder: str, words: str) -> None:
    done = stackproof(command, str(tmp_path / folder))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
