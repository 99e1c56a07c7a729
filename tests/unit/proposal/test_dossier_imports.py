"""Verifying a stranger's dossier must work from the `core` install: what it does not hold is made impossible to import here."""

import json
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from stack.proposal.recompute import MODULES, recompute_for

CORE_LOCK = Path(__file__).parents[3] / "requirements" / "core.lock"
ONLY_CORE = """
import json, sys
class Absent:
    names = frozenset(json.loads(sys.argv[1]))
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


@cache
def outside_core() -> tuple[str, ...]:
    """Modules of this environment that no distribution in requirements/core.lock provides."""
    core = {name.lower() for name in re.findall(r"^([\w.-]+)==", CORE_LOCK.read_text(), re.MULTILINE)} | {"stackproof"}
    provided = packages_distributions()
    return tuple(module for module, owners in provided.items() if not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & core)


def run_in_core(code: str) -> str:
    """What `code` prints in a fresh interpreter that can import only what the core install holds."""
    command = [sys.executable, "-c", ONLY_CORE + code, json.dumps(outside_core())]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_engine_gateway_and_ray_are_outside_the_core_install() -> None:
    assert {"torch", "transformers", "vllm", "ray", "envoy"} <= set(outside_core())


def test_building_and_verifying_need_the_core_install_only() -> None:
    run_in_core("from stack.proposal import build_dossier, verify_dossier")


@pytest.mark.slow
def test_recomputing_a_record_of_any_kind_needs_the_core_install_only() -> None:
    code = f"""
from stack.proposal.recompute import recompute_for
for kind in {sorted(MODULES)}:
    try:
        recompute_for(kind)
    except ImportError as error:
        print(kind, "needs", error.name)
"""
    assert run_in_core(code) == ""


def test_the_command_line_loads_no_plots_before_they_are_asked_for() -> None:
    loaded = run_in_core("import stack.cli.dossier; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert not set(loaded) & {"jinja2", "pyarrow", "numpy"}


def test_the_kind_of_a_record_never_reaches_the_import_system() -> None:
    assert recompute_for("os") is None
