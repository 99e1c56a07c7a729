"""The command as a person runs it: one line for each fault, exit status 0, 1 or 2, never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from stack.evidence import EvidenceStore, SigningKey
from stack.hardware_profiles import collect_inventory
from stack.hardware_profiles.evidence import draft

pytestmark = pytest.mark.slow


def run(*arguments: object, key: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"STACKPROOF_SIGNING_KEY": str(key)} if key else {})
    command = [sys.executable, "-m", "stack.cli.main", "dossier", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dossier of this machine's real inventory, built by the command."""
    root = tmp_path_factory.mktemp("command")
    key = SigningKey(Ed25519PrivateKey.generate())
    (root / "key.pem").write_bytes(key.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (root / "key.pem").chmod(0o600)
    EvidenceStore(root / "evidence", key=lambda: key).write(*draft(collect_inventory(), identifiers=False))
    (root / "proposal.yaml").write_text(
        "title: This machine\nclaims:\n  - {id: cores, statement: It has a core, figure: inventory/cpu.logical_cores, op: '>=', value: 1}\n"
    )
    done = run("build", root / "proposal.yaml", "--evidence", root / "evidence", "--out", root / "dossier", key=root / "key.pem")
    assert done.returncode == 0, done.stderr
    assert "claims: 1 hold" in done.stdout
    return root


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "dossier", tmp_path / "dossier"))


def test_a_dossier_of_a_real_record_holds_with_the_key_that_was_printed(folder: Path) -> None:
    key_id = json.loads(run("show", folder / "dossier", "--json").stdout)["key_id"]
    done = run("verify", folder / "dossier", "--key-id", key_id)
    assert done.returncode == 0
    assert f"The dossier holds. Signed with key {key_id}" in done.stdout


def test_the_report_for_machines_says_what_was_checked(folder: Path) -> None:
    report = json.loads(run("verify", folder / "dossier", "--json").stdout)
    assert report["ok"] is True
    assert all(check["checked"] > 0 for check in report["checks"])


def test_a_flipped_byte_gives_exit_status_1_and_the_name_of_the_file(copy: Path) -> None:
    victim = next(copy.glob("evidence/artifacts/*/inventory.json"))
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.write_bytes(data)
    done = run("verify", copy)
    assert done.returncode == 1
    assert f"stackproof: {victim.relative_to(copy)}: content does not match" in done.stderr


def test_another_key_gives_exit_status_1(folder: Path) -> None:
    assert run("verify", folder / "dossier", "--key-id", "ab" * 32).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "{}/absent"), "no such folder"),
        (("show", "{}/absent"), "is not a dossier"),
        (("verify", "{}/dossier", "--key-id", "short"), "64 hexadecimal digits"),
        (("build", "{}/absent.yaml", "--evidence", "{}/evidence", "--out", "{}/x"), "absent.yaml: cannot be read"),
        (("build", "{}/evidence", "--evidence", "{}/evidence", "--out", "{}/x"), "cannot be read: Is a directory"),
        (("build", "{}/proposal.yaml", "--evidence", "{}/absent", "--out", "{}/x"), "no such folder of evidence"),
        (("build", "{}/proposal.yaml", "--evidence", "{}/evidence", "--out", "{}/proposal.yaml"), "is a file"),
        (("build", "{}/proposal.yaml", "--evidence", "{}/evidence", "--out", "{}"), "would replace the evidence"),
    ],
)
def test_bad_usage_gives_exit_status_2_and_one_line(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run(*(argument.format(folder) for argument in arguments), key=folder / "key.pem")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("stackproof: ")
    assert message in done.stderr


@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, "{}", '{"schema_version": 7}', '{"a": NaN}', "\ud800"], ids=["empty", "deep", "bare", "wrong", "nan", "surrogate"]
)
def test_a_hostile_dossier_json_is_one_line(copy: Path, content: str) -> None:
    (copy / "dossier.json").write_bytes(content.encode(errors="surrogatepass"))
    done = run("show", copy)
    assert done.returncode == 1
    assert done.stderr.startswith("stackproof: dossier.json: ")
    assert len(done.stderr.strip().splitlines()) == 1
