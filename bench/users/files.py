"""Reading scenario files (edge)."""

import re
from pathlib import Path

from pydantic import ValidationError

from bench.errors import BenchError
from bench.users.scenario import Scenario
from stack.runtime.errors import describe_validation
from stack.runtime.yaml_input import parse_mapping, read_bounded

CATALOG = Path(__file__).parent / "catalog"


def load_scenario(source: str | Path, *, model: str | None = None) -> Scenario:
    """Read a scenario file, or a ready one by name; `model` replaces the file's. BenchError names the faulty field."""
    path = _find(source)
    document = parse_mapping(read_bounded(path, error=BenchError), source=str(path), holds="model, users, duration_s and classes", error=BenchError)
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
