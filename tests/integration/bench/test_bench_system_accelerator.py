"""The real pynvml against the stand-in library: what a GPU's answers and refusals come to in a run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import StartMock

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[2] / "fakes" / "fake_nvml.c"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip(reason="NVML handling is not tested: no C compiler (cc or gcc) to build the stand-in library")
    folder = tmp_path_factory.mktemp("nvml")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", folder / "libnvidia-ml.so.1", SOURCE], check=True, timeout=60)
    return folder


def readings(library: Path, scenario: str) -> dict[str, Any]:
    """What one reading gives: values by GPU and metric, or the reason why there are none."""
    code = (
        "import json; from bench.system.host import AcceleratorReader; from bench.system.readings import UnreadableError\n"
        "try: print(json.dumps([[json.loads(each.labels)['gpu'], each.metric, each.value] for each in AcceleratorReader().read()]))\n"
        "except UnreadableError as error: print(json.dumps(str(error)))"
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": scenario}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {"reason": found} if isinstance(found, str) else {f"{gpu}.{metric}": value for gpu, metric, value in found}


def test_a_gpu_answers_in_watts_joules_bytes_and_degrees(library: Path) -> None:
    found = readings(library, "8xh100")
    assert len(found) == 8 * 7
    assert found.pop("3.energy_j_total") > 0
    assert {name: value for name, value in found.items() if name.startswith("3.")} == {
        "3.power_w": 350,
        "3.utilization_percent": 87,
        "3.memory_used_bytes": 0,
        "3.sm_clock_mhz": 1755,
        "3.memory_clock_mhz": 2619,
        "3.temperature_c": 61,
    }


def test_a_question_that_a_gpu_does_not_answer_costs_that_value_alone(library: Path) -> None:
    found = readings(library, "nopower")
    assert "0.temperature_c" in found
    assert not {"0.power_w", "0.energy_j_total"} & found.keys()


def test_a_gpu_that_fell_off_the_bus_does_not_hide_the_others(library: Path) -> None:
    assert {name[0] for name in readings(library, "lost")} == {"0"}


@pytest.mark.parametrize(("scenario", "reason"), [("nodriver", "Driver Not Loaded"), ("nodevices", "no GPU on this host")])
def test_without_a_gpu_the_reason_is_told(library: Path, scenario: str, reason: str) -> None:
    assert reason in readings(library, scenario)["reason"]


def test_tokens_per_joule_of_a_run_follow_from_the_energy_counter(library: Path, start_mock: StartMock, tmp_path: Path) -> None:
    code = (
        "import sys; from io import StringIO; from pathlib import Path; from bench import Workload; from bench.run import *\n"
        "workload = Workload.model_validate({'model': 'mock', 'arrivals': {'kind': 'concurrency', 'streams': 4},"
        " 'prompts': {'kind': 'text', 'text': 'hello', 'max_tokens': 16}, 'stop': {'duration_s': 2}})\n"
        "options = RunOptions(watching=Watching(every_s=0.2), report=False)\n"
        "print(run_workload(workload, url=sys.argv[1], out=Path(sys.argv[2]), reporter=Reporter(StringIO()), options=options).model_dump_json())"
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": "8xh100"}
    command = [sys.executable, "-c", code, start_mock().url, str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    energy, window = found["system"]["energy"][0], found["window"]
    assert (energy["device"], energy["source"], energy["tier"], energy["devices"]) == ("accelerators", "nvml energy counter", "informative, device level", 8)
    assert energy["mean_w"] == pytest.approx(8 * 350, rel=0.02)  # the counter is read a moment after its stamp
    tokens = found["rates"]["output_tokens_per_s"] * (window["end_s"] - window["start_s"])
    assert energy["output_tokens_per_joule"] == pytest.approx(tokens / energy["joules"])
    assert abs(energy["cross_check"]) < 0.02
