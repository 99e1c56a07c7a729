"""The catalog is whole, and the audit's record can be counted again from its one artifact."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from stack.cli import secure
from stack.evidence import EvidenceError, EvidenceStore, SigningKey, StoredRecord
from stack.runtime.errors import StackproofError
from stack.runtime.progress import Reporter
from stack.security import AuditContext, SecurityError, Status, Target, load_controls, run_audit
from stack.security.checks import CHECKS
from stack.security.controls import parse_controls
from stack.security.evidence import draft, recompute


def test_every_control_has_a_check_and_every_check_a_control() -> None:
    assert sorted(control.check for control in load_controls()) == sorted(CHECKS)


def test_ids_are_unique_and_every_target_has_controls() -> None:
    controls = load_controls()
    assert len({control.id for control in controls}) == len(controls) >= 14
    assert {control.target for control in controls} == set(Target)


def test_every_control_says_what_asks_for_it_and_how_to_mend_it() -> None:
    for control in load_controls():
        assert any(mapping.framework == "NIST SP 800-53" for mapping in control.mappings), control.id
        assert control.remediation.endswith("."), control.id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target: moon\ncontrols: []", "x.yaml: field `target`"),
        ("target: host\ncontrols:\n  - {id: SP-HOST-01}", "x.yaml: field `title`"),
        ("target: [", "x.yaml: line 1: not YAML"),
        ("- 1", "x.yaml: field"),
    ],
)
def test_a_broken_catalog_is_named_with_its_field(text: str, message: str) -> None:
    with pytest.raises(SecurityError, match=message):
        parse_controls(text, source="x.yaml")


def test_what_was_not_given_reads_unknown_with_the_reason_and_never_passes(context: AuditContext) -> None:
    report = run_audit(context, Reporter(io.StringIO()), targets=[Target.ENGINE, Target.GATEWAY])
    assert {result.status for result in report.results} == {Status.UNKNOWN}
    assert all("was given" in result.detail or "was not given" in result.detail for result in report.results)


@pytest.fixture
def stored(context: AuditContext, tmp_path: Path) -> StoredRecord:
    key = SigningKey(Ed25519PrivateKey.generate())
    report = run_audit(context, Reporter(io.StringIO()), targets=[Target.MODELS, Target.ENGINE])
    return EvidenceStore(tmp_path / "evidence", key=lambda: key).write(*draft(report))


def test_counts_recomputed_from_the_checks_equal_the_recorded_ones(stored: StoredRecord) -> None:
    assert tuple(recompute(stored)) == stored.record.figures
    values = {figure.name: figure.value for figure in stored.record.figures}
    assert values["audit.controls"] == 11
    assert (values["audit.pass"], values["audit.fail"], values["audit.unknown"], values["audit.not_applicable"]) == (5, 0, 6, 0)
    assert (values["audit.models.pass"], values["audit.engine.pass"]) == (5, 0)


def test_a_verdict_changed_in_the_artifact_changes_the_counts(stored: StoredRecord) -> None:
    path = stored.artifact_path("checks.json")
    path.write_text(path.read_text().replace('"unknown"', '"pass"', 1))
    assert tuple(recompute(stored)) != stored.record.figures


def test_an_artifact_that_is_no_report_is_named(stored: StoredRecord) -> None:
    path = stored.artifact_path("checks.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "targets": ["moon"]}))
    with pytest.raises(EvidenceError, match=r"checks\.json: field `targets\.0`"):
        recompute(stored)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    called = [sys.executable, "-m", "stack.cli.main", "secure", "audit", *arguments]
    return subprocess.run(called, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_the_command_exits_with_1_when_a_control_fails_and_says_which(context: AuditContext) -> None:
    """The catalog's model has 134,515,008 weights and the test's six."""
    done = command("--target", "models", "--format", "json")
    assert done.returncode == 1
    assert {result["control"] for result in json.loads(done.stdout)["results"] if result["status"] == "fail"} == {"SP-MOD-04"}
    assert done.stderr.splitlines()[-1] == "stackproof: 1 of 5 controls do not hold: SP-MOD-04"


@pytest.mark.slow
def test_the_table_shows_and_counts_what_is_unknown(context: AuditContext) -> None:
    done = command("--target", "engine")
    assert done.returncode == 0
    assert "0 pass, 0 fail, 6 unknown, 0 not applicable" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "moon"], "--target: 'moon'"),
        (["--target", "gateway", "--url", "ftp://127.0.0.1"], "is not an address like"),
        (["--target", "gateway", "--url", "http://127.0.0.1:99999"], "is not an address like"),
        (["--engine-url", "https://127.0.0.1"], "is not an address like"),
        (["--url", "https://127.0.0.1", "--ca-file", "no-such"], "CA file no-such cannot be read"),
        (["--model", "no-such"], "is not in the catalog"),
    ],
)
def test_bad_usage_is_told_with_its_option_or_value(arguments: list[str], words: str, context: AuditContext) -> None:
    error = CliRunner().invoke(secure.app, ["audit", *arguments]).exception
    assert isinstance(error, StackproofError)
    assert error.exit_status == 2
    assert words in str(error)
    assert "\n" not in str(error)
