"""Reading workload files (edge)."""

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import BenchError
from bench.workload.models import Workload
from stack.runtime.errors import describe_validation
from stack.runtime.files import sha256_file
from stack.runtime.yaml_input import parse_mapping, read_bounded

CATALOG = Path(__file__).parent / "catalog"
PATHS = (("arrivals", "file"), ("prompts", "file"), ("prompts", "tokenizer"), ("quality", "file"))
"""Fields that name a file relative to the workload's."""

TOKENIZER = "tokenizer.json"


def load_workload(source: str | Path, *, model: str | None = None, tokenizer: Path | None = None) -> Workload:
    """Read a workload file, or a ready one by name; `model` and `tokenizer` replace the file's. BenchError names the faulty field.

    Paths in it come out absolute.
    """
    path = _find(source)
    document = parse_mapping(read_bounded(path, error=BenchError), source=str(path), holds="model, arrivals, prompts and stop", error=BenchError)
    document = {**document, "name": document.get("name") or re.sub(r"[^A-Za-z0-9._-]", "-", path.stem)}
    if model is not None:
        document["model"] = model
    if tokenizer is not None and isinstance(document.get("prompts"), dict):
        document["prompts"] = {**document["prompts"], "tokenizer": str(tokenizer.resolve())}
    _make_absolute(document, path.parent.resolve())
    try:
        return Workload.model_validate(document)
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=str(path))) from None


def ready_workloads() -> list[Path]:
    """The files of the workloads that come with the package."""
    return sorted(CATALOG.glob("*.yaml"))


def input_digests(workload: Workload) -> dict[str, str]:
    """SHA-256 of each file that the workload names, by dotted field; a folder stands for the tokenizer.json in it. BenchError where one cannot be read."""
    digests = {}
    for section, field in PATHS:
        named = getattr(getattr(workload, section), field, None)
        if named is None:
            continue
        path = Path(named) / TOKENIZER if Path(named).is_dir() else Path(named)
        try:
            digests[f"{section}.{field}"] = sha256_file(path)
        except OSError as error:
            raise BenchError(f"field `{section}.{field}`: {path}: {error.strerror}") from None
    return digests


def _make_absolute(document: dict[str, Any], base: Path) -> None:
    for section, field in PATHS:
        inner = document.get(section)
        if isinstance(inner, dict) and isinstance(inner.get(field), str):
            document[section] = {**inner, field: str(base / inner[field])}


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    ready = {each.stem: each for each in ready_workloads()}
    if str(source) in ready:
        return ready[str(source)]
    raise BenchError(f"workload {source}: neither a file nor one of the ready ones ({', '.join(ready)})")
