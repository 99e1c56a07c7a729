"""What the profile asks NVML of a GPU, through the real pynvml and a library of our own: its answers, not hardware."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nvml_kit import build

pytestmark = pytest.mark.slow

ASK = """
import json, sys
from stack.hardware_profiles.profile.conditions import Watch
from stack.hardware_profiles.profile.device import nvml_handle
from stack.hardware_profiles.profile.energy import Nvml, answering

handle, address = nvml_handle(sys.argv[1])
meter = answering(Nvml(handle)) if handle is not None else None
print(json.dumps({"address": address, "conditions": Watch(gpu=handle).conditions().model_dump(), "joules": meter and meter.read()}))
"""


def asked(library: Path, scenario: str, uuid: str) -> dict[str, Any]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": scenario}
    done = subprocess.run([sys.executable, "-c", ASK, uuid], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


def test_the_gpu_with_torchs_uuid_is_found_whatever_its_number(library: Path):
    found = asked(library, "8xh100", "00000000-0000-0000-0000-000000000000")
    assert found["address"] == "0000:1b:00.0"
    conditions = found["conditions"]
    assert (conditions["gpu_sm_mhz"], conditions["gpu_memory_mhz"]) == (1755, 2619)
    assert conditions["gpu_celsius"] > 0
    assert conditions["gpu_throttle_reasons"] >= 0
    assert found["joules"] > 0


@pytest.mark.parametrize("uuid", ["ffffffff-0000-0000-0000-000000000000", ""])
def test_a_gpu_that_nvml_does_not_know_is_left_alone(library: Path, uuid: str):
    found = asked(library, "8xh100", uuid)
    assert (found["address"], found["joules"], found["conditions"]["gpu_sm_mhz"]) == ("", None, None)
