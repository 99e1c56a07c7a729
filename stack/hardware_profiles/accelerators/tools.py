"""Asking a maker's command-line tool (edge): only for a device that is on the bus, never through a shell, never for long."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from stack.hardware_profiles.tree import UnreadableError

TIMEOUT_S = 10.0
MAX_BYTES = 4 << 20
# Where makers install; a tool is looked for on PATH first.
FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/rocm/bin", "/opt/aws/neuron/bin", "/opt/habanalabs/bin")


def find_tool(name: str) -> str | None:
    """Its path, or None when it is not installed."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(FOLDERS))


def ask_tool(command: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> str:
    """What the command printed on stdout; UnreadableError when it is absent, fails or takes too long."""
    name = command[0]
    path = find_tool(name)
    if path is None:
        raise UnreadableError(f"{name} is not installed")
    try:
        done = subprocess.run([path, *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False, start_new_session=True)
    except subprocess.TimeoutExpired:
        raise UnreadableError(f"{name} gave no answer in {timeout_s:g} s") from None
    except OSError as error:
        raise UnreadableError(f"{name} could not be started: {error.strerror}") from None
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise UnreadableError(f"{name} ended with status {done.returncode}: {words[-1][:200]}")
    if len(done.stdout) > MAX_BYTES:
        raise UnreadableError(f"{name} printed more than {MAX_BYTES >> 20} MiB")
    return done.stdout.decode(errors="replace")
