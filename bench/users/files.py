"""Reading scenario files (edge)."""

import re
from pathlib import Path

import yaml
from pydantic import ValidationError

from bench.errors import BenchError
from bench.users.scenario import Scenario
from stack.runtime.errors import describe_validation

CATALOG = Path(__file__).parent / "catalog"


def load_scenario(source: str | Path, *, model: str | None = None) -> Scenario:
    """Read a scenario file, or a ready one by name; `model` replaces the file's. BenchError names the faulty field."""
    path = _find(source)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BenchError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise BenchError(f"{path}: must hold one mapping with model, users, duration_s and classes")
    document = {**document, "name": document.get("name") or re.sub(r"[^A-Za-z0-9._-]", "-", path.stem)}
    if model is not None:
        document["model"] = model
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=str(path))) from None


def ready_scenarios() -> list[Path]:
    """The files of the scenarios that come with the package."""
    return sorted(CATALOG.glob("*.yaml"))


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    ready = {each.stem: each for each in ready_scenarios()}
    if str(source) in ready:
        return ready[str(source)]
    raise BenchError(f"scenario {source}: neither a file nor one of the ready ones ({', '.join(ready)})")
