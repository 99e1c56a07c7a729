"""Whether this machine can compile a model for its processor (edge)."""

import shutil
import sysconfig
from pathlib import Path

COMPILER = "g++"
"""What PyTorch calls, in an engine's clean environment."""


def why_no_compiler() -> str | None:
    """What is missing, and how to get it; None when a model can be compiled. Accelerators need it as well, for what wraps their kernels."""
    if shutil.which(COMPILER) is None:
        return f"no C++ compiler here: with {COMPILER} the model would be compiled and answer faster"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "no Python.h here: with the headers of this Python (python3-dev) the model would be compiled and answer faster"
    return None
