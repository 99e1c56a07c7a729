"""Install a locked environment into .venv: `python3 scripts/bootstrap.py auto|core|cpu|gpu|dev`.

Needs nothing but Python. Everything comes from requirements/<lock>.lock with hashes checked; a second
call with the same lock installs nothing. What is missing is said in one line.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # the one file that an old Python may meet
    sys.exit("bootstrap: Python 3.11 or newer is needed, this is %d.%d: install python3.11, or run make PYTHON=/path/to/python3.11" % sys.version_info[:2])  # noqa: UP031

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "stackproof-locks.json"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
DISK_BYTES = {"core": 1 << 30, "cpu": 7 << 30, "gpu": 16 << 30, "dev": 7 << 30}
COVERED_BY = {"core": ("core", "cpu", "gpu", "dev"), "cpu": ("cpu", "dev"), "gpu": ("gpu",), "dev": ("dev",)}
SAY_EVERY_S = 5.0


def main(argv: list[str]) -> int:
    asked = argv[1] if len(argv) > 1 else "auto"
    name = ("gpu" if nvml_answers() else "cpu") if asked == "auto" else asked
    if name not in DISK_BYTES:
        sys.exit(f"bootstrap: no lock named {name!r}: choose auto, {', '.join(DISK_BYTES)}")
    with exclusive():
        if installed(name):
            return 0
        check_machine(name)
        install(name)
    return 0


def nvml_answers() -> bool:
    """Whether an NVIDIA driver is loaded (the same question the inventory asks)."""
    try:
        return bool(ctypes.CDLL("libnvidia-ml.so.1").nvmlInit_v2() == 0)
    except (OSError, AttributeError):
        return False


def check_machine(name: str) -> None:
    """Exit with one line when this machine cannot hold the environment."""
    if name != "core" and sys.version_info[:2] != (3, 11):
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"bootstrap: the {name} lock is for Python 3.11, this is {found}: install python3.11, or run make PYTHON=/path/to/python3.11")
    if name != "core" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        sys.exit(f"bootstrap: the {name} lock is for Linux on x86_64, this is {sys.platform} on {platform.machine()}: only the core lock installs here")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        sys.exit(f"bootstrap: Python's venv module is missing: ask an administrator for `apt install python3.{sys.version_info[1]}-venv`")
    free = shutil.disk_usage(ROOT).free
    if free < DISK_BYTES[name]:
        sys.exit(f"bootstrap: {DISK_BYTES[name] >> 30} GiB free disk space are needed for {name}, {free / (1 << 30):.1f} GiB are left in {ROOT}")


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Two makes at once install one after the other."""
    with (ROOT / ".venv.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def digest(name: str) -> str:
    content = lock_path(name).read_bytes() + (ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode()
    return hashlib.sha256(content).hexdigest()


def lock_path(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.lock"


def installed(name: str) -> bool:
    """Whether .venv holds this lock as it is now, or a larger one that contains it."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return False
    return (VENV / "bin" / "python").exists() and stamp["lock"] in COVERED_BY[name] and stamp["digest"] == digest(stamp["lock"])


def install(name: str) -> None:
    """Create .venv when needed, install the lock, then the project itself in place; the stamp comes last."""
    started = time.monotonic()
    STAMP.unlink(missing_ok=True)
    if not (VENV / "bin" / "python").exists():
        say("making .venv")
        run([sys.executable, "-m", "venv", str(VENV)])
    lines = lock_path(name).read_text()
    if "+cpu" in lines:
        install_torch_cpu(lines)
    total = len(re.findall(r"^[a-zA-Z0-9]", lines, flags=re.MULTILINE))
    say(f"installing {total} locked packages ({name})")
    pip_install(["-r", str(lock_path(name))], total=total)
    run([str(VENV / "bin" / "pip"), "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT)])
    temporary = STAMP.with_suffix(".tmp")
    temporary.write_text(json.dumps({"lock": name, "digest": digest(name)}))
    temporary.replace(STAMP)
    say(f"{name} environment ready in {time.monotonic() - started:.0f} s")


def install_torch_cpu(lines: str) -> None:
    """torch's CPU build is not on the default index: the configured places first, then PyTorch's own index."""
    match = re.search(r"^torch==(?:.*\\\n)*.*--hash=\S+$", lines, flags=re.MULTILINE)
    if match is None:
        sys.exit("bootstrap: the lock names a +cpu build but no torch: run `make lock`")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_torch:
        only_torch.write(match.group(0) + "\n")
        only_torch.flush()
        say("installing torch (CPU build)")
        if pip_install(["-r", only_torch.name], total=1, check=False) != 0:
            say("not found where pip looks by default: asking PyTorch's own index")
            pip_install(["--extra-index-url", TORCH_CPU_INDEX, "-r", only_torch.name], total=1)


def pip_install(arguments: list[str], *, total: int, check: bool = True) -> int:
    """pip with hashes required and no resolution: the lock is complete. Counts packages as pip reaches them."""
    command = [str(VENV / "bin" / "pip"), "install", "--no-deps", "--require-hashes", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    output: list[str] = []
    seen, said = 0, time.monotonic()
    with subprocess.Popen(command + arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        for line in pip.stdout or ():
            output.append(line)
            if line.startswith(("Collecting ", "Processing ", "Requirement already")):
                seen += 1
            elif line.startswith("Installing collected"):
                say("all downloaded, unpacking")
            if time.monotonic() - said >= SAY_EVERY_S and seen < total:
                said = time.monotonic()
                say(f"  {seen}/{total} packages")
    if pip.returncode != 0 and check:
        sys.stderr.writelines(output[-15:])
        sys.exit("bootstrap: pip failed (its last lines are above); what is installed stays, run the same command again")
    return pip.returncode


def run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        sys.exit(f"bootstrap: `{' '.join(map(os.path.basename, command[:3]))}` failed (its output is above)")


def say(line: str) -> None:
    print(f"bootstrap: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv))
    except KeyboardInterrupt:
        sys.exit("bootstrap: interrupted; run the same command again to go on")
