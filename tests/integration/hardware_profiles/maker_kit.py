"""Makers' real Python packages on stand-ins of their libraries, which answer as the makers document (nothing here was recorded on hardware).

The packages are kept out of the environment that engines run in: torch and vLLM import amdsmi when they find it, and it prints and fails
without its library. These tests run where the packages are on the path:

    pip install --no-deps --target DIR amdsmi==7.0.2 pyhlml==1.9.0.580.1
    PYTHONPATH=DIR pytest tests/integration/hardware_profiles/test_amd_telemetry.py tests/integration/hardware_profiles/test_gaudi_telemetry.py

Everywhere else tests/unit/hardware_profiles/test_maker_telemetry.py reads the same answers in the form in which the packages gave them here.
"""

import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nvml_kit import compiler

from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.tree import Tree

FAKES = Path(__file__).parents[2] / "fakes"
NOT_SUPPORTED = 2
"""AMDSMI_STATUS_NOT_SUPPORTED."""


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"the real package {package} is not on the path: maker_kit.py says how to put it there")


def machine_with(module: str, root: Path) -> Tree:
    """A machine whose kernel has that driver."""
    (root / "sys/module" / module).mkdir(parents=True)
    return Tree(root, identifiers=True)


def by_metric(readings: tuple[Reading, ...], device: int) -> dict[str, float]:
    """Of one device; a label beyond those of every accelerator stands after the name."""
    return {".".join([each.metric.removeprefix("stackproof_gpu_"), *each.labels[3:]]): each.value for each in readings if each.labels[0] == str(device)}


def build_hlml(folder: Path) -> Path:
    library = folder / "libhlml.so"
    subprocess.run([compiler(), "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(FAKES / "fake_hlml.c")], check=True, timeout=60)
    return library


class FakeAmd:
    """The real amdsmi on a library that knows no question but those that `answers` teaches it, by the C function's name.

    What a function is called with are the package's own ctypes, so that layouts and types are the package's and not ours.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = importlib.util.find_spec("amdsmi")
        assert package is not None
        assert package.origin is not None
        wrapper = (Path(package.origin).parent / "amdsmi_wrapper.py").read_text()
        names = sorted(set(re.findall(r"_libraries\['libamd_smi\.so'\]\.(\w+)", wrapper)))
        (folder / "lib").mkdir()
        source = folder / "stub.c"
        source.write_text("".join(f"int {name}(void) {{ return {NOT_SUPPORTED}; }}\n" for name in names))
        subprocess.run([compiler(), "-shared", "-fPIC", "-o", str(folder / "lib/libamd_smi.so"), str(source)], check=True, timeout=60)
        monkeypatch.setenv("ROCM_PATH", str(folder))
        for name in [each for each in sys.modules if each.split(".")[0] == "amdsmi"]:
            monkeypatch.delitem(sys.modules, name)
        self._monkeypatch = monkeypatch
        importlib.import_module("amdsmi")
        self.wrapper: Any = importlib.import_module("amdsmi.amdsmi_wrapper")

    def answer(self, name: str, function: Callable[..., int | None]) -> None:
        """`function` gets what C would get, pointers as the objects they point to; None stands for success."""

        def called(*arguments: Any) -> int:
            return function(*(getattr(each, "_obj", each) for each in arguments)) or 0

        self._monkeypatch.setattr(self.wrapper, name, called)
