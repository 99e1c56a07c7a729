"""What stages need beside the sources, looked for before anything runs (edge)."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stack.pipelines.base import Stage
from stack.pipelines.errors import PipelineError

PACKAGE, KEY_FILE = "package ", "key file "


def require(stages: Iterable[Stage], folder: Path) -> None:
    """PipelineError names the stage and the first package or key file that is missing. Endpoints are tried when they are asked."""
    for stage in stages:
        for need in stage.needs():
            if need.startswith(PACKAGE) and not _installed(need.removeprefix(PACKAGE)):
                raise PipelineError(f"stage `{stage.kind}` needs the {need}: install stackproof[labeling]")
            if need.startswith(KEY_FILE) and not (folder / need.removeprefix(KEY_FILE)).is_file():
                path = folder / need.removeprefix(KEY_FILE)
                raise PipelineError(f"stage `{stage.kind}`: field `key_file`: no file at {path}: make one with `stackproof label key {path}`")


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
