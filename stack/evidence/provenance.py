"""Which code ran, on which machine: the parts of a record that the store fills in (edge)."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stack.evidence.record import Host, Tool

GIT_TIMEOUT_S = 10


@cache
def tool() -> Tool:
    """Version from the installed metadata, commit from the checkout the code runs in, if any."""
    try:
        installed = version("stackproof")
    except PackageNotFoundError:
        installed = "unknown"
    root = Path(__file__).resolve().parent.parent.parent
    commit = _git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    status = _git(root, "status", "--porcelain", "--untracked-files=no") if commit else None
    return Tool(version=installed, commit=commit or "", dirty=None if status is None else bool(status))


@cache
def host() -> Host:
    """The fingerprint hashes machine id, CPU model and core count; none of them is in the record."""
    facts = [_first_line("/etc/machine-id"), platform.machine(), _cpu_model(), str(os.cpu_count())]
    return Host(
        fingerprint=hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16],
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        cpu_count=os.cpu_count() or 0,
    )


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().splitlines()[0]
    except (OSError, IndexError):
        return ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
