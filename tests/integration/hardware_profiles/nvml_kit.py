"""The stand-in library, compiled."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "fakes" / "fake_nvml.c"


def compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        pytest.skip(reason="makers' libraries are not tested: no C compiler (cc or gcc) to build the stand-ins")
    return found


def build(folder: Path, *options: str) -> Path:
    command = [compiler(), "-shared", "-fPIC", "-Wall", "-Werror", *options, "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(command, check=True, timeout=60)
    return folder
