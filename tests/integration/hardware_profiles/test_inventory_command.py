"""`stackproof inventory` as a user runs it: its forms, its files, and its refusals."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from stack.evidence import EvidenceStore

pytestmark = pytest.mark.slow


def inventory(*options: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "stack.cli.main", "inventory", *map(str, options)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stderr
    return done


def test_the_json_obeys_the_schema_that_the_command_prints() -> None:
    schema = json.loads(inventory("--schema").stdout)
    found = json.loads(inventory("--json").stdout)
    jsonschema.Draft202012Validator(schema).validate(found)
    assert found["marks"]["cpu.logical_cores"] == "detected"


def test_a_declared_value_shows_in_every_form_and_in_the_evidence(tmp_path: Path) -> None:
    declared = tmp_path / "declared.yaml"
    declared.write_text("system.cooling: liquid\nsystem.nodes: 2\n")
    assert json.loads(inventory("--declare", declared, "--json").stdout)["marks"]["system.cooling"] == "declared"
    description = json.loads(inventory("--declare", declared, "--format", "mlperf").stdout)
    assert (description["cooling"], description["marks"]["cooling"]) == ("liquid", "declared")
    assert "system.cooling (declared)" in inventory("--declare", declared, "--evidence", tmp_path / "evidence").stdout
    (stored,) = EvidenceStore(tmp_path / "evidence").read()
    kinds = {figure.name: figure.kind for figure in stored.record.figures}
    assert (kinds["system.cooling"], kinds["cpu.logical_cores"]) == ("declared", "measured")


def test_a_file_is_written_in_the_form_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "system.json"
    assert inventory("--format", "mlperf", "--out", out).stdout == out.read_text()
    inventory("--out", out)
    assert json.loads(out.read_text())["schema_version"] == "stackproof.inventory/v1"


def test_a_contradiction_of_the_machine_is_one_line_and_status_2(tmp_path: Path) -> None:
    declared = tmp_path / "declared.yaml"
    declared.write_text("cpu.logical_cores: 4096\n")
    done = inventory("--declare", declared, "--json", status=2)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "field `cpu.logical_cores`: is detected on this machine" in done.stderr


def test_labels_are_lines_for_a_feature_file_or_none_with_a_word_on_stderr() -> None:
    done = inventory("--format", "labels")
    assert all(line.count("=") == 1 for line in done.stdout.splitlines())
    assert bool(done.stdout) != ("no label" in done.stderr)


def test_neither_torch_nor_ray_nor_vllm_nor_kubernetes_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['stackproof', 'inventory', '--json']\n"
        "from stack.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'ray', 'vllm', 'kubernetes', 'numpy', 'pyarrow') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "/proc/no/such/place"), "--out /proc/no/such/place: cannot be written: no such file or directory: name another file"),
        (("--json", "--format", "labels"), "--json and --format labels ask for two forms: leave one out"),
        (("--declare", "/no/such/file"), "/no/such/file: cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(options: tuple[str, ...], words: str) -> None:
    assert inventory(*options, status=2).stderr == f"stackproof: {words}\n"
