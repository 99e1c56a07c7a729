"""Verifying a stranger's dossier must work from the small install, so nothing large may be imported on the way."""

import subprocess
import sys

from stack.proposal.recompute import MODULES, recompute_for

HEAVY = ("torch", "ray", "vllm", "transformers", "httpx", "starlette", "uvicorn", "gguf", "accelerate")


def loaded(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_building_and_verifying_load_no_part_of_the_engine() -> None:
    assert not loaded("from stack.proposal import build_dossier, verify_dossier") & set(HEAVY)


def test_recomputing_any_kind_of_record_loads_no_part_of_the_engine() -> None:
    assert not loaded(f"from stack.proposal.recompute import recompute_for\nfor kind in {sorted(MODULES)}: recompute_for(kind)") & set(HEAVY)


def test_the_command_line_loads_no_plots_before_they_are_asked_for() -> None:
    assert not loaded("import stack.cli.dossier") & {"jinja2", "pyarrow", "numpy", *HEAVY}


def test_the_kind_of_a_record_never_reaches_the_import_system() -> None:
    assert recompute_for("os") is None
