"""The stand-in library, compiled."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "fakes" / "fake_nvml.c"


def build(folder: Path, *options: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("NVML handling is not tested: no C compiler (cc or gcc) to build the stand-in library")
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", *options, "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(command, check=True, timeout=60)
    return folder
