"""`stackproof status`, from what a session wrote of itself."""

import json
import time
from pathlib import Path

from typer.testing import CliRunner

from stack.cli.main import app
from stack.serving.budgets import TenantBudget
from stack.serving.fleet.status import PartStatus, SessionStatus, locked, write_status

BUDGETS = (
    TenantBudget(tenant="clinic", rate_class="default", tokens=1_900_000, tokens_per_day=2_000_000, requests=7, requests_per_day=None),
    TenantBudget(tenant="school", rate_class="small", tokens=0, tokens_per_day=None, requests=3, requests_per_day=50),
)


def said(folder: Path, *options: str, budgets: tuple[TenantBudget, ...] = BUDGETS, left_out: int = 0) -> str:
    with locked(folder):
        parts = (PartStatus(name="engine", kind="engine", state="ready", since=time.time(), model="m"),)
        found = SessionStatus(
            pid=1, written=time.time(), gateway_url="http://x", api_key_file="k", run_dir=str(folder), parts=parts, budgets=budgets, budgets_left_out=left_out
        )
        write_status(found)
        result = CliRunner().invoke(app, ["status", "--run-dir", str(folder), *options], catch_exceptions=False, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def test_tenants_are_shown_with_what_they_used_today_of_their_budgets(tmp_path: Path) -> None:
    lines = said(tmp_path).splitlines()
    (clinic,) = [line for line in lines if "clinic" in line]
    (school,) = [line for line in lines if "school" in line]
    assert [cell.strip() for cell in clinic.split("│")[1:-1]] == ["clinic", "default", "1,900,000 of 2,000,000", "-"]
    assert [cell.strip() for cell in school.split("│")[1:-1]] == ["school", "small", "-", "3 of 50"]
    assert lines[-1] == "The next day begins at 00:00 UTC."
    assert said(tmp_path, left_out=1234).splitlines()[-1] == "The next day begins at 00:00 UTC; 1,234 tenants more."


def test_without_daily_budgets_nothing_is_said_of_them(tmp_path: Path) -> None:
    assert "today" not in said(tmp_path, budgets=())


def test_json_has_the_numbers(tmp_path: Path) -> None:
    (told,) = json.loads(said(tmp_path, "--json"))
    assert [(row["tenant"], row["tokens"], row["tokens_per_day"]) for row in told["budgets"]] == [("clinic", 1_900_000, 2_000_000), ("school", 0, None)]
