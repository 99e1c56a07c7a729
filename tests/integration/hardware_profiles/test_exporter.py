"""The whole command over HTTP: real pynvml on the stand-in library, real /proc, real signals."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from nvml_kit import build
from prometheus_client.parser import text_string_to_metric_families

from stack.hardware_profiles.telemetry.metrics import METRICS
from stack.runtime.net import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("exporter-nvml"))


class Exporter(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    said: str
    """On stderr until it served."""

    def scrape(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}

    def values(self, metric: str, **labels: str) -> list[float]:
        """In the order of the exporter, those whose labels include `labels`."""
        return [value for (name, found), value in self.scrape().items() if name == metric and labels.items() <= dict(found).items()]

    def until(self, metric: str, expected: list[float], **labels: str) -> None:
        """However long it takes: pytest's own limit ends what never comes."""
        while self.values(metric, **labels) != expected:
            assert self.process.poll() is None


@pytest.fixture
def run(library: Path) -> Iterator[object]:
    started: list[subprocess.Popen[str]] = []

    def start(scenario: str, *options: str, **environment: str) -> Exporter:
        port = free_port()
        command = [sys.executable, "-m", "stack.cli.main", "exporter", "--port", str(port), "--every", "100ms", *options]
        variables = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": scenario, **environment}
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stderr is not None
        said = ""
        while "metrics at" not in said:
            said += (line := process.stderr.readline())
            assert line, "it ended before it served"
        return Exporter(process, port, said)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_eight_gpus_and_the_host_are_told_in_base_units(run) -> None:
    exporter = run("8xh100")
    exporter.until("stackproof_source_up", [1.0], source="nvml")
    gpu = {"gpu": "3", "name": "NVIDIA H100 80GB HBM3"}
    expected = {
        "stackproof_gpu_utilization_ratio": 0.87,
        "stackproof_gpu_memory_utilization_ratio": 0.4,
        "stackproof_gpu_memory_total_bytes": 85520809984,
        "stackproof_gpu_power_watts": 350,
        "stackproof_gpu_power_limit_watts": 700,
        "stackproof_gpu_temperature_celsius": 61,
        "stackproof_gpu_memory_temperature_celsius": 74,
        "stackproof_gpu_sm_clock_hertz": 1.755e9,
        "stackproof_gpu_memory_clock_hertz": 2.619e9,
        "stackproof_gpu_xid_errors_total": 0,
        "stackproof_gpu_up": 1,
    }
    assert {metric: exporter.values(metric, **gpu) for metric in expected} == {metric: [value] for metric, value in expected.items()}
    sent, received = (exporter.values(f"stackproof_gpu_nvlink_{way}_bytes_total", **gpu)[0] for way in ("transmitted", "received"))
    assert sent / received == pytest.approx(2, rel=0.01)
    assert len(exporter.values("stackproof_gpu_energy_joules_total")) == 8
    exporter.until("stackproof_source_up", [1.0], source="host")
    assert exporter.values("stackproof_host_memory_total_bytes")[0] > 1 << 28


def test_every_series_is_a_metric_of_the_table_with_its_labels_and_identifiers_are_hashed(run) -> None:
    exporter = run("8xh100")
    exporter.until("stackproof_source_up", [1.0], source="nvml")
    for name, labels in exporter.scrape():
        if name.startswith("stackproof_"):
            assert {label for label, _ in labels} == set(METRICS[name].labels)
        assert all(not value.startswith("GPU-") for _, value in labels)
    assert len({dict(labels)["uuid"] for name, labels in exporter.scrape() if name == "stackproof_gpu_up"}) == 8


def test_a_failing_gpu_tells_its_xids_memory_errors_and_why_it_is_slow(run) -> None:
    exporter = run("failing")
    exporter.until("stackproof_gpu_xid_errors_total", [2.0], gpu="1")
    assert exporter.values("stackproof_gpu_last_xid", gpu="1") == [63]
    assert exporter.values("stackproof_gpu_last_xid", gpu="0") == []
    assert exporter.values("stackproof_gpu_ecc_errors_total", gpu="1", kind="uncorrected") == [2]
    active = {dict(labels)["reason"] for (name, labels), value in exporter.scrape().items() if name == "stackproof_gpu_throttle_active" and value}
    assert active == {"power_cap", "hardware_slowdown", "thermal_hardware"}


def test_a_gpu_that_is_lost_under_way_is_told_and_the_other_goes_on(run, tmp_path: Path) -> None:
    sign = tmp_path / "lost"
    exporter = run("failing", FAKE_NVML_LOST=str(sign))
    exporter.until("stackproof_gpu_xid_errors_total", [2.0], gpu="1")
    sign.touch()
    exporter.until("stackproof_gpu_up", [0.0], gpu="1")
    assert exporter.values("stackproof_gpu_up", gpu="0") == [1]
    assert exporter.values("stackproof_gpu_power_watts", gpu="1") == []
    assert exporter.values("stackproof_gpu_power_watts", gpu="0") == [350]
    assert exporter.values("stackproof_gpu_xid_errors_total") == [0, 2]  # counters do not vanish with it
    sign.unlink()
    exporter.until("stackproof_gpu_up", [1.0], gpu="1")


@pytest.mark.parametrize("scenario", ["nodriver", "nodevices", "mismatch"])
def test_without_a_gpu_the_host_is_told_and_the_source_is_down(run, scenario: str) -> None:
    exporter = run(scenario)
    exporter.until("stackproof_source_up", [1.0], source="host")
    assert exporter.values("stackproof_source_up", source="nvml") == [0]
    assert not any(name.startswith("stackproof_gpu") for name, _ in exporter.scrape())


def test_a_narrow_pcie_counter_that_wraps_too_fast_is_not_told(run) -> None:
    exporter = run("mig")
    exporter.until("stackproof_source_up", [1.0], source="nvml")
    assert exporter.values("stackproof_gpu_pcie_received_bytes_total") == []
    assert exporter.values("stackproof_gpu_power_watts") == [350]


def test_mig_instances_are_told_with_their_gpu_and_one_that_is_removed_goes_away(run, tmp_path: Path) -> None:
    sign = tmp_path / "split-anew"
    exporter = run("mig", FAKE_NVML_RESPLIT=str(sign))
    exporter.until("stackproof_gpu_mig_memory_total_bytes", [19968 << 20, 4864 << 20, 4864 << 20], gpu="0")
    assert exporter.values("stackproof_gpu_mig_memory_used_bytes", gpu_instance="9", compute_instance="0", profile="1g.5gb") == [2 << 30]
    assert exporter.values("stackproof_gpu_mig_memory_used_bytes", profile="3g.20gb") == [1 << 30]
    labels = [dict(found) for (name, found) in exporter.scrape() if name == "stackproof_gpu_mig_memory_used_bytes"]
    assert len({each["uuid"] for each in labels}) == 3
    assert all(each["uuid"].startswith("hmac:") for each in labels)
    sign.touch()
    exporter.until("stackproof_gpu_mig_memory_total_bytes", [19968 << 20], gpu="0")
    sign.unlink()
    exporter.until("stackproof_gpu_mig_memory_total_bytes", [19968 << 20, 4864 << 20, 4864 << 20], gpu="0")
    assert exporter.values("stackproof_gpu_utilization_ratio") == []


def test_a_gpu_that_is_not_split_has_no_instances_and_what_it_does_not_tell_is_logged_once(run) -> None:
    exporter = run("nopower")
    exporter.until("stackproof_gpu_up", [1.0])
    assert exporter.values("stackproof_gpu_mig_memory_total_bytes") == []
    assert exporter.values("stackproof_gpu_power_watts") == []
    exporter.process.terminate()
    errors = exporter.said + exporter.process.communicate(timeout=60)[1]
    assert errors.count("stackproof_gpu_power_watts has no answer from device 0: Not Supported") == 1
    assert errors.count("source amd:") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_and_quietly(run, number: signal.Signals) -> None:
    exporter = run("8xh100")
    exporter.until("stackproof_source_up", [1.0], source="nvml")
    exporter.process.send_signal(number)
    output, errors = exporter.process.communicate(timeout=60)
    assert exporter.process.returncode == 0
    assert output == ""
    assert "Traceback" not in errors


def test_it_listens_on_loopback_alone_unless_told(run) -> None:
    exporter = run("nodevices")
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert [address for address in listening if address.endswith(f":{exporter.port:04X}")] == [f"0100007F:{exporter.port:04X}"]


def refused(*options: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "stack.cli.main", "exporter", *options], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_a_port_in_use_is_told_in_one_line(run) -> None:
    exporter = run("nodevices")
    status, errors = refused("--port", str(exporter.port))
    assert status == 2
    assert errors == f"stackproof: --port {exporter.port} on --listen 127.0.0.1 cannot be bound (address already in use): choose another\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--every", "soon"], "field `--every`: give a time above 0 with its unit"),
        (["--every", "1ms"], "field `--every`: 1ms is shorter than"),
        (["--listen", "300.1.1.1"], "--listen 300.1.1.1 cannot be bound"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(options: list[str], words: str) -> None:
    status, errors = refused(*options)
    assert status == 2
    assert words in errors
    assert errors.count("\n") == 1
