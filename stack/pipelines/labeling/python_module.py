"""The module of a `python` labeler: found beside the pipeline file or installed, hashed, and loaded (edge)."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from stack.pipelines.errors import PipelineError

Labels = Sequence[str | None]


def source_digest(entry: str, folder: Path) -> str:
    """SHA-256 of the module's source file, which is not run for it. What the module itself imports is not covered."""
    return hashlib.sha256(_source(entry, folder).read_bytes()).hexdigest()


def load(entry: str, folder: Path) -> Callable[[list[str]], Labels]:
    """The function; PipelineError naming `entry` when there is none or its module does not import."""
    module, _, name = entry.partition(":")
    path = _source(entry, folder)
    try:
        loaded = _from_file(path, source_digest(entry, folder)) if path.parent == folder.resolve() else importlib.import_module(module)
        found = getattr(loaded, name, None)
    except Exception as fault:
        raise PipelineError(f"field `entry`: module {module} does not import: {type(fault).__name__}: {fault}") from fault
    if not callable(found):
        raise PipelineError(f"field `entry`: module {module} has no function {name}")
    return found  # type: ignore[no-any-return]  # what it returns is checked where it is called


def _source(entry: str, folder: Path) -> Path:
    module = entry.partition(":")[0]
    beside = folder.resolve() / f"{module}.py"
    if beside.is_file():
        return beside
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise PipelineError(f"field `entry`: there is no {beside.name} in {folder} and no installed Python module {module}")
    return Path(spec.origin)


@lru_cache(maxsize=64)
def _from_file(path: Path, digest: str) -> object:
    """Under a name of its own, so that two pipelines' modules of one name, or an edited one, do not get in each other's way."""
    name = f"_labeler_{path.stem}_{digest[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
