"""The real pyhlml against a small library of our own: its answers and refusals, not hardware."""

import importlib
import sys
from pathlib import Path

import pytest
from maker_kit import build_hlml, by_metric, machine_with, needs

from stack.hardware_profiles.accelerators import gaudi
from stack.hardware_profiles.telemetry.gaudi import GaudiReader
from stack.hardware_profiles.tree import Tree, UnreadableError

pytestmark = [pytest.mark.slow, needs("pyhlml")]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_hlml(tmp_path_factory.mktemp("hlml"))


@pytest.fixture
def machine(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Its package looks for the library at one fixed place, which is moved."""
    package = importlib.import_module("pyhlml.hlml_lib")
    monkeypatch.setattr(package.LibHLML.__init__, "__defaults__", (str(library),))
    return machine_with("habanalabs", tmp_path)


def test_two_devices_are_told_in_base_units(machine: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_HLML", "2xgaudi3")
    readings = GaudiReader(machine).read()
    assert by_metric(readings, 1) == {
        "utilization_ratio": 0.74,
        "memory_used_bytes": 704643072,
        "memory_total_bytes": 128 << 30,
        "power_watts": 421.5,
        "energy_joules_total": pytest.approx(123456.789),
        "temperature_celsius": 64,
        "sm_clock_hertz": 1.6e9,
        "throttle_active.power_cap": 0,
        "throttle_active.thermal_hardware": 0,
        "ecc_errors_total.uncorrected": 0,
        "up": 1,
    }
    assert {each.labels[:3] for each in readings} == {(str(index), "HL-325L", f"01P4-HL3090A0-18-UAN071-12-03-0{index}") for index in (0, 1)}


def test_what_it_does_not_tell_is_absent_and_the_reason_is_logged_once(
    machine: Tree, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FAKE_HLML", "hot")
    reader = GaudiReader(machine)
    with caplog.at_level("INFO"):
        reader.read()
        told = by_metric(reader.read(), 0)
    assert "energy_joules_total" not in told
    assert "ecc_errors_total.corrected" not in told
    assert (told["throttle_active.power_cap"], told["throttle_active.thermal_hardware"], told["ecc_errors_total.uncorrected"]) == (1, 1, 5)
    assert sorted(record.getMessage() for record in caplog.records) == [
        "source gaudi: stackproof_gpu_ecc_errors_total has no answer from device 0: HLML Error with code 3",
        "source gaudi: stackproof_gpu_energy_joules_total has no answer from device 0: HLML Error with code 3",
    ]


def test_a_device_that_is_lost_under_way_is_down_and_the_other_goes_on(machine: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE_HLML", "2xgaudi3")
    monkeypatch.setenv("FAKE_HLML_LOST", str(tmp_path / "lost"))
    reader = GaudiReader(machine)
    assert by_metric(reader.read(), 1)["up"] == 1
    (tmp_path / "lost").touch()
    told = reader.read()
    assert by_metric(told, 1) == {"up": 0}
    assert by_metric(told, 0)["utilization_ratio"] == 0.73
    (tmp_path / "lost").unlink()
    assert by_metric(reader.read(), 1)["power_watts"] == 421.5


def test_a_library_whose_driver_does_not_answer_is_a_reason_and_is_asked_again(machine: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_HLML", "nodriver")
    reader = GaudiReader(machine)
    with pytest.raises(UnreadableError, match="pyhlml: HLML Error with code 9"):
        reader.read()
    monkeypatch.setenv("FAKE_HLML", "hot")
    assert by_metric(reader.read(), 0)["up"] == 1


def test_a_machine_without_the_driver_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="the kernel driver habanalabs is not loaded"):
        GaudiReader(Tree(tmp_path)).read()


def test_a_missing_package_is_a_reason(machine: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyhlml.main", None)
    with pytest.raises(UnreadableError, match="the package pyhlml is not installed"):
        GaudiReader(machine).read()


def test_the_inventory_reads_the_same_library(machine: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.exists("sys/module/habanalabs")
    monkeypatch.setenv("FAKE_HLML", "2xgaudi3")
    first, second = gaudi.ask_library()
    assert (first.name, first.architecture, first.driver, first.memory_bytes) == ("HL-325L", "Gaudi 3", "1.24.1-b336d5e", 128 << 30)
    assert (first.pci_bus, second.pci_bus) == ("0000:33:00.0", "0000:34:00.0")
    assert first.default_power_limit_w == 850.0
