"""Where results shall go is looked at before anything is read, asked or started."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from stack.cli.main import app
from stack.evidence import EvidenceStore, RecordDraft, SigningKey
from stack.runtime.errors import StackproofError

NOBODY = "http://127.0.0.1:9"
COMMANDS = {
    "serve": ("serve", "--model", "no-such-model"),
    "inventory": ("inventory",),
    "profile": ("profile", "--quick"),
    "secure audit": ("secure", "audit"),
    "label run": ("label", "run", "no-such-pipeline", "--out", "unused"),
    "apps eval": ("apps", "eval", "no-such-app", "--url", NOBODY),
    "bench run": ("bench", "run", "no-such-workload", "--url", NOBODY),
    "bench users": ("bench", "users", "no-such-scenario", "--url", NOBODY),
    "bench capacity": ("bench", "capacity", "no-such-workload", "--url", NOBODY),
    "bench calibrate": ("bench", "calibrate", "no-such-workload"),
    "bench audit": ("bench", "audit", "TEST01", "no-such-run", "--url", NOBODY),
}
FOLDERS = {
    "serve": ("serve", "--model", "no-such-model", "--run-dir"),
    "serve before an engine": ("serve", "--engine-url", NOBODY, "--run-dir"),
    "demo": ("demo", "--out"),
    "profile": ("profile", "--quick", "--out"),
    "dossier build": ("dossier", "build", "no-such-proposal", "--evidence", ".", "--out"),
    "label run": ("label", "run", "no-such-pipeline", "--out"),
    "apps eval": (*COMMANDS["apps eval"], "--out"),
    "bench run": (*COMMANDS["bench run"], "--out"),
    "bench users": (*COMMANDS["bench users"], "--out"),
    "bench capacity": (*COMMANDS["bench capacity"], "--out"),
    "bench calibrate": (*COMMANDS["bench calibrate"], "--out"),
    "bench audit": (*COMMANDS["bench audit"], "--out"),
}
FILES = {
    "inventory": ("inventory", "--out"),
    "chart values": ("chart", "values", "--model", "no-such-model", "--out"),
    "models bundle": ("models", "bundle", "smollm2-135m-instruct", "--out"),
}


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STACKPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STACKPROOF_SIGNING_KEY", str(tmp_path / "signing.pem"))


def refused(*arguments: str) -> str:
    """The one line that the command ends with, at exit status 2."""
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, StackproofError), error
    assert error.exit_status == 2
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize("command", COMMANDS)
def test_evidence_that_cannot_be_kept_is_told_first(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(*COMMANDS[command], "--evidence", "file") == "--evidence file: file is a file: name another folder"
    assert refused(*COMMANDS[command], "--evidence", "/proc/x").startswith("--evidence /proc/x: cannot be written")
    assert not (tmp_path / "unused").exists()


def test_evidence_begun_with_another_key_is_told_first(tmp_path: Path) -> None:
    EvidenceStore(tmp_path / "evidence", key=lambda: SigningKey(Ed25519PrivateKey.generate())).write(RecordDraft(kind="audit", title="x"))
    assert "signed with another key: choose another folder" in refused(*COMMANDS["serve"], "--evidence", "evidence")


def test_a_signing_key_that_cannot_be_made_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKPROOF_SIGNING_KEY", "/proc/x/signing.pem")
    assert refused(*COMMANDS["serve"], "--evidence", "evidence").startswith("--evidence: the signing key cannot be read or made: ")


@pytest.mark.parametrize("command", FOLDERS)
def test_a_folder_that_cannot_be_written_is_told_first(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    option = FOLDERS[command][-1]
    assert refused(*FOLDERS[command], "file") == f"{option} file: file is a file: name another folder"
    assert refused(*FOLDERS[command], "/proc/x").startswith(f"{option} /proc/x: cannot be written")


@pytest.mark.parametrize("command", FILES)
def test_a_file_that_cannot_be_written_is_told_first(command: str, tmp_path: Path) -> None:
    assert refused(*FILES[command], str(tmp_path)) == f"--out {tmp_path}: is a folder: name a file"
    assert refused(*FILES[command], "/proc/x.tar").startswith("--out /proc/x.tar: cannot be written")


def test_a_good_place_is_left_untouched_by_a_command_that_fails(tmp_path: Path) -> None:
    assert "no-such-model" in refused("serve", "--model", "no-such-model", "--evidence", "evidence/of/it", "--run-dir", "run")
    assert not (tmp_path / "evidence").exists()
    assert not (tmp_path / "run").exists()
