"""`stackproof accelerators`."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stack.cli.main import app
from stack.hardware_profiles.catalog import CatalogError

H200 = (files("stack.hardware_profiles.catalog") / "data" / "h200-sxm.yaml").read_text()


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """An H200 whose fp8 rate is the one with sparsity."""
    path = tmp_path / "h200.yaml"
    path.write_text(H200.replace("value: 1979", "value: 3940", 1))
    return path


def test_list_in_json_gives_numbers_with_their_source_and_status() -> None:
    result = CliRunner().invoke(app, ["accelerators", "list", "--json"])
    entries = {entry["name"]: entry for entry in json.loads(result.stdout)}
    assert entries["mi300x"]["peaks"]["fp8"]["value"] == 2614.9
    assert entries["mi300x"]["peaks"]["fp8"]["status"] == "published"
    assert entries["rtx-pro-6000-server"]["peaks"]["fp8"]["status"] == "unverified"
    assert "value" not in entries["tpu-v5e"]["power"]


def test_the_table_marks_what_is_unverified_and_what_is_unknown() -> None:
    lines = {line.split("│")[1].strip(): line.split("│")[2:] for line in CliRunner().invoke(app, ["accelerators", "list"]).stdout.splitlines() if "│" in line}
    assert lines["mi210"][0].strip() == "(181)"
    assert lines["tpu-v5e"][4].strip() == "unknown"
    assert lines["t4"][1].strip() == "none"


def test_show_numbers_each_source_and_lists_it_below() -> None:
    shown = CliRunner().invoke(app, ["accelerators", "show", "b300"], env={"COLUMNS": "160"}).stdout
    assert "12600 (12600 to 15000)" in shown
    assert "[1] " in shown
    assert "Others measured 1769 of 2250 TFLOP/s in bf16 GEMM" in shown


def test_show_of_an_unknown_name_is_a_mistake_of_usage() -> None:
    error = CliRunner().invoke(app, ["accelerators", "show", "h300"]).exception
    assert isinstance(error, CatalogError)
    assert error.exit_status == 2


def test_check_names_file_field_and_likely_cause_and_exits_with_one(wrong: Path) -> None:
    result = CliRunner().invoke(app, ["accelerators", "check", str(wrong)])
    assert result.exit_code == 1
    first, *_, last = result.stdout.splitlines()
    assert first.startswith(f"{wrong}: peaks.fp8: 3940 is ")
    assert "sparsity" in first
    assert last == f"{wrong}: 2 findings; compared with the catalog's h200-sxm"


def test_check_says_when_it_had_only_ratios_to_go_by(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    unknown = re.sub(r"names:\n(  - .*\n)+", "", H200).replace("name: h200-sxm", "name: somebodys-chip")
    path.write_text(unknown)
    result = CliRunner().invoke(app, ["accelerators", "check", str(path), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [{"file": str(path), "compared_with": None, "findings": []}]


def test_check_of_a_file_that_is_not_there_or_no_entry_names_it(tmp_path: Path) -> None:
    for path, content in ((tmp_path / "none.yaml", None), (tmp_path / "list.yaml", "- 1\n"), (tmp_path / "binary.yaml", "\udcff")):
        if content is not None:
            path.write_bytes(content.encode("utf-8", "surrogateescape"))
        error = CliRunner().invoke(app, ["accelerators", "check", str(path)]).exception
        assert isinstance(error, CatalogError)
        assert str(error).startswith(f"{path}: ")
