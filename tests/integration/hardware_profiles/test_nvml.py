"""The real pynvml against a small library of our own: its answers and refusals, not hardware."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "fakes" / "fake_nvml.c"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("NVML handling is not tested: no C compiler (cc or gcc) to build the stand-in library")
    folder = tmp_path_factory.mktemp("nvml")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", folder / "libnvidia-ml.so.1", SOURCE], check=True, timeout=60)
    return folder


def inventory(library: Path, scenario: str, *options: str) -> dict[str, Any]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": scenario}
    command = [sys.executable, "-m", "stack.cli.main", "inventory", "--json", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def reasons(found: dict[str, Any]) -> dict[str, str]:
    return {probe["name"]: probe["reason"] for probe in found["probes"] if not probe["ok"]}


def gpus(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Only those of the library: the machine the test runs on may have others on its bus."""
    return [each for each in found["accelerators"] if each["source"] == "nvml"]


def test_eight_healthy_gpus_are_read_with_every_field_the_library_offers(library: Path) -> None:
    found = gpus(inventory(library, "8xh100", "--identifiers"))
    assert [gpu["index"] for gpu in found] == list(range(8))
    first = found[0]
    assert first.pop("mig_enabled") is None  # the library lacks the function
    assert first == {
        "index": 0,
        "vendor": "NVIDIA",
        "source": "nvml",
        "name": "NVIDIA H100 80GB HBM3",
        "memory_bytes": 85520809984,
        "uuid": "GPU-00000000-0000-0000-0000-000000000000",
        "pci_bus": "0000:1b:00.0",
        "driver": "580.95.05",
        "compute_capability": "9.0",
        "power_limit_w": 700.0,
        "max_sm_clock_mhz": 1980,
        "ecc_enabled": True,
    }


def test_uuids_are_hashed_and_still_distinct_by_default(library: Path) -> None:
    uuids = [gpu["uuid"] for gpu in gpus(inventory(library, "8xh100"))]
    assert len(set(uuids)) == 8
    assert not any("GPU-" in uuid for uuid in uuids)


def test_a_function_the_library_lacks_costs_that_field_alone(library: Path) -> None:
    found = inventory(library, "8xh100")
    assert "Function Not Found" in reasons(found)["accelerators.0.mig_enabled"]
    assert gpus(found)[0]["ecc_enabled"] is True


def test_a_lost_gpu_stays_in_the_list_and_does_not_hide_the_others(library: Path) -> None:
    found = inventory(library, "lost")
    healthy, lost = gpus(found)
    assert healthy["name"] == "NVIDIA H100 80GB HBM3"
    assert lost["name"] is None
    assert lost["memory_bytes"] is None
    assert "GPU is lost" in reasons(found)["accelerators.1.memory_bytes"]


def test_an_unsupported_question_is_unknown_and_never_zero(library: Path) -> None:
    found = inventory(library, "nopower")
    (gpu,) = gpus(found)
    assert gpu["power_limit_w"] is None
    assert gpu["ecc_enabled"] is None
    assert gpu["memory_bytes"] == 16106127360
    assert "Not Supported" in reasons(found)["accelerators.0.power_limit_w"]


def test_a_missing_kernel_module_is_told_as_the_reason(library: Path) -> None:
    found = inventory(library, "nodriver")
    assert gpus(found) == []
    assert "Driver Not Loaded" in reasons(found)["accelerators.nvml"]


def test_a_loaded_driver_without_devices_gives_none_and_no_complaint(library: Path) -> None:
    found = inventory(library, "nodevices")
    assert gpus(found) == []
    assert "accelerators.nvml" not in reasons(found)
