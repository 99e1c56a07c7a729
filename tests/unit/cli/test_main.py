"""The command line starts quickly, explains itself, and turns a user's mistake into one line."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "ray", "vllm", "transformers", "pyarrow", "numpy", "httpx", "starlette", "jinja2", "uvloop")
COMMAND = Path(sys.executable).with_name("stackproof")
GROUPS = ("accelerators", "apps", "bench", "demo", "dossier", "inventory", "label", "models", "plan", "secure", "serve")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"COLUMNS": "120"})


def test_help_imports_none_of_the_heavy_libraries() -> None:
    script = f"""
import sys
from stack.cli.main import app
from typer.testing import CliRunner
result = CliRunner().invoke(app, ["--help"])
assert result.exit_code == 0, result.output
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_help_lists_every_command_group() -> None:
    done = run("--help")
    assert done.returncode == 0
    listed = {line.strip("│ ").split()[0] for line in done.stdout.splitlines() if line.startswith("│ ") and line[2:3].isalpha()}
    assert set(GROUPS) <= listed


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_each_group_explains_itself(group: str) -> None:
    done = run(group, "--help")
    assert done.returncode == 0
    assert "Usage: stackproof" in done.stdout


def test_an_unknown_command_is_a_usage_error() -> None:
    done = run("frobnicate")
    assert done.returncode == 2
    assert "No such command" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_names_the_commit() -> None:
    done = run("--version")
    assert done.stdout.startswith("stackproof 0.")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_ctrl_c_and_sigterm_unwind_and_leave_one_line(number: signal.Signals, status: int) -> None:
    script = """
import sys, time, typer
from stack.cli import main
other = typer.Typer()
@other.command()
def wait():
    try:
        print("ready", flush=True)
        time.sleep(30)
    finally:
        print("cleaned up", flush=True)
main.app = other
main.main()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert out == "cleaned up\n"
    assert "Traceback" not in err
