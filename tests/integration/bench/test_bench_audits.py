"""Audits of servers that cheat, and of one that does not."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Mock, RunLoad, StartMock  # type: ignore[import-not-found]
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from bench.audits import TESTS, AuditResult, Subject
from bench.audits.bodies import quiet
from bench.audits.evidence import draft
from bench.audits.run import run_audit
from bench.audits.subject import Chosen, choose
from bench.errors import BenchError
from bench.quality.server import Server
from bench.results.keep import Keep
from bench.run import RunOptions, Watching, run_workload
from bench.workload import Workload
from stack.evidence import EvidenceStore
from stack.proposal.recompute import recompute_for
from stack.runtime.progress import Reporter

pytestmark = pytest.mark.slow

DOCUMENT: dict[str, Any] = {
    "name": "small",
    "model": "mock",
    "arrivals": {"kind": "concurrency", "streams": 4},
    "prompts": {"kind": "texts", "texts": ["one", "two", "three"], "max_tokens": 8},
    "stop": {"requests": 48},
    "timeout_s": 30,
}

Audit = Callable[..., AuditResult]


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """Audit a mock with the small workload."""

    def run(test: str, mock: Mock, *, tokenizer: Tokenizer | None = None, rounds: int = 3, sample: int | None = None, **fields: Any) -> AuditResult:
        workload = quiet(Workload.model_validate({**DOCUMENT, **fields}))
        subject = Subject(workload=workload, seed=1, audit_seed=2, sample=sample, rounds=rounds)
        out = tmp_path / "audit"
        return run_audit(TESTS[test], Chosen(subject), Server(mock.url, "mock"), out=out, tokenizer=tokenizer, reporter=Reporter(StringIO()))

    return run


HONEST = ("--say", "prompt", "--ttft-ms", "10", "--token-interval-ms", "1")
REFERENCE = {"reference": {"output_tokens_mean": 8}}


@pytest.mark.parametrize(("test", "fields"), [("TEST01", {}), ("TEST06", {}), ("TEST09", REFERENCE)])
def test_an_honest_server_passes(start_mock: StartMock, audit: Audit, test: str, fields: dict[str, Any]) -> None:
    found = audit(test, start_mock(*HONEST), **fields)
    assert (found.verdict, found.examples) == ("pass", ()), found.reason


def test_a_server_that_forgets_is_not_taken_for_one_that_caches(start_mock: StartMock, audit: Audit) -> None:
    found = audit("TEST04", start_mock("--ttft-ms", "100", "--token-interval-ms", "1"), sample=3, stop={"requests": 24})
    assert found.verdict != "fail", found.reason
    assert found.figures["faster"] == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize(
    ("test", "cheat", "words"),
    [
        ("TEST01", ("--short-under-load",), "shorter"),
        ("TEST04", ("--cache-repeats", "--ttft-ms", "100"), "faster"),
        ("TEST06", ("--miscount", "2"), "finish reasons fit the token counts"),
        ("TEST06", ("--miscount=-2",), "usage says 384 tokens, the streams had 512 events"),
        ("TEST06", ("--fault", "text-after-finish"), "0 of 64 streams end with the finish reason"),
        ("TEST09", ("--short-under-load",), "output tokens on average"),
    ],
)
def test_a_server_that_cheats_is_caught(start_mock: StartMock, audit: Audit, test: str, cheat: tuple[str, ...], words: str) -> None:
    for _ in range(3):
        # A machine too busy to tell is asked again, with a server that has not seen the prompts.
        found = audit(test, start_mock(*HONEST, *cheat), sample=3 if test == "TEST04" else None, **REFERENCE)
        if "client-bound" not in found.reason:
            break
    assert found.verdict == "fail", found.reason
    assert words in found.reason


def test_tokens_behind_large_chunks_are_counted_by_the_tokenizer(start_mock: StartMock, audit: Audit) -> None:
    words = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = WhitespaceSplit()
    large = ("--tokens-per-chunk", "4", "--ttft-ms", "1", "--token-interval-ms", "1")
    assert audit("TEST06", start_mock(*large)).verdict == "cannot tell"
    assert audit("TEST06", start_mock(*large), tokenizer=words).verdict == "pass"
    padded = audit("TEST06", start_mock(*large, "--miscount", "1"), tokenizer=words)
    assert padded.verdict == "fail"
    assert "the tokenizer finds 512" in padded.reason


def test_a_run_that_kept_its_text_is_audited_without_another_load(start_mock: StartMock, tmp_path: Path) -> None:
    mock = start_mock(*HONEST)
    workload, options = Workload.model_validate(DOCUMENT), RunOptions(keep=Keep(text=True), watching=Watching(on=False), report=False)
    run_workload(workload, url=mock.url, out=tmp_path / "run", seed=5, reporter=Reporter(StringIO()), options=options)
    before = len(mock.truth())
    chosen = choose(str(tmp_path / "run"), seed=6, sample=40)
    found = run_audit(TESTS["TEST01"], chosen, Server(mock.url, "mock"), out=tmp_path / "audit", reporter=Reporter(StringIO()))
    assert found.verdict == "pass"
    assert [phase.name for phase in found.phases] == ["load", "alone", "again"]
    # What was asked alone was asked without a stream, which the mock's log of streams does not show.
    assert len(mock.truth()) == before


def test_a_run_without_its_text_is_refused(start_mock: StartMock, run_load: RunLoad, tmp_path: Path) -> None:
    mock = start_mock()
    result = run_load(mock)
    with pytest.raises(BenchError, match="--keep-text"):
        run_audit(TESTS["TEST01"], choose(str(result.out)), Server(mock.url, "mock"), out=tmp_path / "audit", reporter=Reporter(StringIO()))


@pytest.mark.parametrize("test", ["TEST01", "TEST06"])
def test_an_audits_evidence_is_judged_again_from_its_answers(
    start_mock: StartMock, audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: str
) -> None:
    monkeypatch.setenv("STACKPROOF_CONFIG", str(tmp_path / "config"))
    result = audit(test, start_mock(*HONEST))
    store = EvidenceStore(tmp_path / "evidence")
    store.write(*draft(result, tmp_path / "audit"))
    (stored,) = list(store.verify())
    recompute = recompute_for(stored.record.kind)
    assert recompute is not None
    assert tuple(recompute(stored)) == stored.record.figures
    assert stored.record.figures[0].value == "pass"


def command(place: Path, mock: Mock, *arguments: str) -> subprocess.CompletedProcess[str]:
    (place / "load.yaml").write_text(yaml.safe_dump(DOCUMENT))
    line = [sys.executable, "-m", "stack.cli.main", "bench", "audit", *arguments, "--url", mock.url, "--out", "here"]
    return subprocess.run(line, check=False, cwd=place, capture_output=True, text=True, timeout=120)


def test_the_command_ends_with_1_on_fail_and_0_on_pass(start_mock: StartMock, tmp_path: Path) -> None:
    failed = command(tmp_path, start_mock(*HONEST, "--short-under-load"), "test01", "load.yaml", "--seed", "3")
    assert failed.returncode == 1
    assert failed.stdout.startswith("TEST01, answers under load are those given alone: FAIL")
    assert "audit seed 3" in failed.stdout
    passed = command(tmp_path, start_mock(*HONEST), "TEST01", "load.yaml", "--json")
    assert passed.returncode == 0
    assert json.loads(passed.stdout)["verdict"] == "pass"
    assert json.loads((tmp_path / "here" / "audit.json").read_text())["verdict"] == "pass"


@pytest.mark.parametrize(("test", "words"), [("TEST02", "no such audit"), ("TEST09", "--reference-tokens")])
def test_a_mistake_is_one_line_and_status_2(start_mock: StartMock, tmp_path: Path, test: str, words: str) -> None:
    done = command(tmp_path, start_mock(), test, "load.yaml")
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_interrupted_audit_tells_nothing_and_ends_with_130(start_mock: StartMock, tmp_path: Path) -> None:
    mock = start_mock(*HONEST)
    (tmp_path / "load.yaml").write_text(yaml.safe_dump({**DOCUMENT, "stop": {"requests": 100_000}}))
    line = [sys.executable, "-m", "stack.cli.main", "bench", "audit", "TEST01", "load.yaml", "--url", mock.url, "--json"]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        deadline = time.monotonic() + 60
        while not (mock.log.exists() and mock.log.read_text().count("\n") >= 20):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert json.loads(output)["verdict"] == "cannot tell"
