"""Resolve requirements/*.lock from pyproject.toml: exact versions with hashes.

`make lock` runs this inside the development environment. `core` resolves first; the others are
constrained by it, so that a machine may move from one lock to another without a version changing.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
LINUX = ["--python-platform", "x86_64-manylinux_2_34"]
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# lock -> (extras, constraining lock, platform options, whether torch is the CPU build)
PLAN: dict[str, tuple[list[str], str | None, list[str], bool]] = {
    "core": ([], None, ["--universal"], False),
    "cpu": (["cpu"], "core", LINUX, True),
    "gpu": (["gpu"], "core", LINUX, False),
    "dev": (["cpu", "dev"], "cpu", LINUX, True),
}


def resolve(name: str, upgrade: bool) -> None:
    """Write one lock; raises CalledProcessError when the resolver finds no solution."""
    extras, constraint, platform, cpu_torch = PLAN[name]
    command = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--python-version", "3.11"]
    command += platform + [f"--extra={extra}" for extra in (*extras, "build")]
    if constraint:
        command += ["--constraint", f"requirements/{constraint}.lock"]
    command += ["--override", "requirements/overrides.txt"]
    if name == "core":
        command += ["--override", "requirements/overrides-core.txt"]
    if cpu_torch:
        command += ["--override", "requirements/overrides-cpu.txt"]
        # uv does not read pip's settings, so the places where pip finds torch's CPU build are handed to it.
        find_links = os.environ.get("PIP_FIND_LINKS")
        command += ["--find-links", find_links] if find_links else ["--extra-index-url", TORCH_CPU_INDEX, "--index-strategy", "unsafe-best-match"]
    if upgrade:
        command += ["--upgrade"]
    command += ["--output-file", f"requirements/{name}.lock", "pyproject.toml"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    path = LOCKS / f"{name}.lock"
    body = re.sub(r"^--.*\n", "", path.read_text(), flags=re.MULTILINE)
    path.write_text("# Made by `make lock` from pyproject.toml; do not edit.\n" + body)


def main() -> int:
    for name in PLAN:
        print(f"lock: {name}", file=sys.stderr)
        resolve(name, upgrade="--upgrade" in sys.argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
