"""`stackproof models` as a person runs it, in a cache of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stack.serving import CI_MODEL

COMMAND = [sys.executable, "-m", "stack.cli.main", "models"]


def models(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "STACKPROOF_CACHE": str(cache)}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=280, check=False, env=env)


def converting(cache: Path) -> list[int]:
    return [process.pid for process in psutil.process_iter(["cmdline"]) if any(str(cache) in part for part in process.info["cmdline"] or ())]


@pytest.mark.slow
def test_a_pull_killed_half_way_leaves_nothing_usable_and_the_next_one_completes(tmp_path: Path) -> None:
    env = {**os.environ, "STACKPROOF_CACHE": str(tmp_path)}
    with subprocess.Popen([*COMMAND, "pull", CI_MODEL], env=env, stderr=subprocess.DEVNULL) as first:
        while not converting(tmp_path):
            assert first.poll() is None
            time.sleep(0.1)
        first.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while converting(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not converting(tmp_path)
    missing = models("verify", CI_MODEL, cache=tmp_path)
    assert (missing.returncode, missing.stderr) == (2, f"stackproof: model {CI_MODEL} is not on this machine: run `stackproof models pull {CI_MODEL}`\n")

    pulled = models("pull", CI_MODEL, "--json", cache=tmp_path)
    assert pulled.returncode == 0, pulled.stderr
    manifest = json.loads(pulled.stdout)
    assert {"config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"} <= set(manifest["files"])
    assert not list((tmp_path / "models").glob(".*.part"))

    started = time.monotonic()
    assert json.loads(models("pull", CI_MODEL, "--json", cache=tmp_path).stdout) == manifest
    assert time.monotonic() - started < 10
    assert models("verify", CI_MODEL, cache=tmp_path).returncode == 0
    weights = Path(manifest["path"]) / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last[0] ^ 1]))
    changed = models("verify", CI_MODEL, cache=tmp_path)
    assert changed.returncode == 1
    assert f"{weights}: content is not what was pulled" in changed.stderr


@pytest.mark.slow
def test_the_list_names_publisher_country_and_licence(tmp_path: Path) -> None:
    (entry,) = [each for each in json.loads(models("list", "--json", cache=tmp_path).stdout) if each["name"] == CI_MODEL]
    assert (entry["name"], entry["publisher"]["country"], entry["licence"]["spdx"], entry["pulled"]) == (CI_MODEL, "US", "Apache-2.0", False)
    assert models("pull", "gpt-9", cache=tmp_path).returncode == 2
