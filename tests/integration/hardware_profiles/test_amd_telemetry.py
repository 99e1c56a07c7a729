"""The real amdsmi, its library's answers put in where it calls C: its layouts and its reading of them, not hardware."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest
from maker_kit import NOT_SUPPORTED, FakeAmd, by_metric, machine_with, needs

from stack.hardware_profiles.accelerators import amd as inventory
from stack.hardware_profiles.telemetry.amd import AmdReader
from stack.hardware_profiles.tree import Tree, UnreadableError

pytestmark = [pytest.mark.slow, needs("amdsmi")]

UNKNOWN_16, UNKNOWN_64 = 0xFFFF, (1 << 64) - 1
GPUS = 2


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAmd:
    """Two MI300X as amdsmi.h documents the fields; everything else is not supported."""
    fake = FakeAmd(tmp_path, monkeypatch)
    fake.answer("amdsmi_init", lambda _flag: None)
    fake.answer("amdsmi_shut_down", lambda: None)
    fake.answer("amdsmi_get_socket_handles", _one_socket)
    fake.answer("amdsmi_get_processor_handles", _two_processors)
    fake.answer("amdsmi_get_gpu_asic_info", _asic)
    fake.answer("amdsmi_get_gpu_device_uuid", _uuid)
    fake.answer("amdsmi_get_gpu_metrics_info", _metrics)
    fake.answer("amdsmi_get_gpu_vram_usage", _vram)
    fake.answer("amdsmi_get_power_cap_info", _cap)
    fake.answer("amdsmi_get_gpu_total_ecc_count", _ecc)
    return fake


def _one_socket(count: Any, _sockets: Any) -> None:
    count.value = 1


def _two_processors(_socket: Any, count: Any, processors: Any) -> None:
    count.value = GPUS
    for place in range(GPUS if processors else 0):
        processors[place] = place + 1


def _asic(_handle: Any, out: Any) -> None:
    out.market_name = b"AMD Instinct MI300X"


def _uuid(handle: Any, length: Any, out: Any) -> None:
    out.value = f"{handle.value:02d}ff74a1-0000-1000-80a1"[: length.value].encode()


def _metrics(handle: Any, out: Any) -> None:
    """All ones first, which is how the library writes an unknown number."""
    ctypes.memset(ctypes.addressof(out), 0xFF, ctypes.sizeof(out))
    out.temperature_hotspot, out.temperature_mem = 58, 47
    out.average_gfx_activity, out.average_umc_activity = 91, 33
    out.current_socket_power = 605
    out.energy_accumulator = 3 << 16
    out.current_gfxclks[0], out.current_gfxclks[1] = 2100, 1900
    out.current_uclk = 1300
    out.ppt_residency_acc = 500 + _metrics.readings[handle.value]  # type: ignore[attr-defined]
    out.socket_thm_residency_acc = 7
    _metrics.readings[handle.value] += 1  # type: ignore[attr-defined]


def _vram(_handle: Any, out: Any) -> None:
    out.vram_total, out.vram_used = 196592, 283


def _cap(_handle: Any, _sensor: Any, out: Any) -> None:
    out.power_cap = 750_000_000


def _ecc(_handle: Any, out: Any) -> None:
    out.correctable_count, out.uncorrectable_count, out.deferred_count = 12, 1, 0


@pytest.fixture(autouse=True)
def _counted() -> None:
    _metrics.readings = {1: 0, 2: 0}  # type: ignore[attr-defined]


@pytest.fixture
def machine(tmp_path: Path) -> Tree:
    return machine_with("amdgpu", tmp_path)


@pytest.mark.usefixtures("library")
def test_two_gpus_are_told_in_base_units(machine: Tree) -> None:
    reader = AmdReader(machine)
    reader.read()
    readings = reader.read()
    expected = {
        "utilization_ratio": pytest.approx(0.91),
        "memory_utilization_ratio": pytest.approx(0.33),
        "memory_used_bytes": 283 << 20,
        "memory_total_bytes": 196592 << 20,
        "power_watts": 605,
        "power_limit_watts": pytest.approx(750),
        "energy_joules_total": 3,
        "temperature_celsius": 58,
        "memory_temperature_celsius": 47,
        "sm_clock_hertz": 2e9,
        "memory_clock_hertz": 1.3e9,
        "throttle_active.power_cap": 1,
        "throttle_active.thermal_hardware": 0,
        "ecc_errors_total.corrected": 12,
        "ecc_errors_total.uncorrected": 1,
        "ecc_errors_total.deferred": 0,
        "up": 1,
    }
    assert by_metric(readings, 0) == expected
    assert by_metric(readings, 1) == expected
    assert {each.labels[1] for each in readings} == {"AMD Instinct MI300X"}
    assert len({each.labels[2] for each in readings}) == 2


@pytest.mark.usefixtures("library")
def test_throttling_is_unknown_until_there_is_a_reading_to_compare_with(machine: Tree) -> None:
    assert not [each for each in AmdReader(machine).read() if "throttle" in each.metric]


def test_a_number_that_the_library_does_not_know_is_absent_and_never_zero(library: FakeAmd, machine: Tree) -> None:
    library.answer("amdsmi_get_gpu_metrics_info", _all_unknown)
    told = by_metric(AmdReader(machine).read(), 0)
    assert told.keys() == {
        *("memory_used_bytes", "memory_total_bytes", "power_limit_watts", "up"),
        *(f"ecc_errors_total.{kind}" for kind in ("corrected", "uncorrected", "deferred")),
    }


def _all_unknown(_handle: Any, out: Any) -> None:
    ctypes.memset(ctypes.addressof(out), 0xFF, ctypes.sizeof(out))


def test_a_question_that_a_gpu_refuses_costs_that_value_and_is_logged_once(library: FakeAmd, machine: Tree, caplog: pytest.LogCaptureFixture) -> None:
    library.answer("amdsmi_get_gpu_total_ecc_count", lambda _handle, _out: NOT_SUPPORTED)
    reader = AmdReader(machine)
    with caplog.at_level("INFO"):
        reader.read()
        told = reader.read()
    assert not [each for each in told if "ecc" in each.metric]
    assert by_metric(told, 1)["power_watts"] == 605
    (record,) = caplog.records
    assert record.getMessage().startswith("source amd: stackproof_gpu_ecc_errors_total has no answer from device 0: ")
    assert "NOT_SUPPORTED" in record.getMessage()


def test_a_gpu_that_answers_nothing_is_down_and_the_other_goes_on(library: FakeAmd, machine: Tree) -> None:
    for name, answer in {
        "amdsmi_get_gpu_metrics_info": _metrics,
        "amdsmi_get_gpu_vram_usage": _vram,
        "amdsmi_get_gpu_total_ecc_count": _ecc,
    }.items():
        library.answer(name, lambda handle, out, answer=answer: NOT_SUPPORTED if handle.value == 2 else answer(handle, out))
    library.answer("amdsmi_get_power_cap_info", lambda handle, sensor, out: NOT_SUPPORTED if handle.value == 2 else _cap(handle, sensor, out))
    told = AmdReader(machine).read()
    assert by_metric(told, 1) == {"up": 0}
    assert by_metric(told, 0)["temperature_celsius"] == 58


def test_a_driver_that_does_not_answer_is_a_reason_and_is_asked_again(library: FakeAmd, machine: Tree) -> None:
    library.answer("amdsmi_init", lambda _flag: 34)
    reader = AmdReader(machine)
    with pytest.raises(UnreadableError, match="amdsmi: "):
        reader.read()
    library.answer("amdsmi_init", lambda _flag: None)
    assert by_metric(reader.read(), 0)["up"] == 1


def test_a_package_without_its_library_is_a_reason(machine: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROCM_PATH", "/nonexistent")
    for name in [each for each in sys.modules if each.split(".")[0] == "amdsmi"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UnreadableError, match="the package amdsmi cannot use its library"):
        AmdReader(machine).read()


def test_a_machine_without_the_driver_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="the kernel driver amdgpu is not loaded"):
        AmdReader(Tree(tmp_path)).read()


def test_the_inventory_reads_the_same_package(library: FakeAmd) -> None:
    library.answer("amdsmi_get_gpu_device_bdf", _bdf)
    first, second = inventory.ask_library()
    assert (first.name, first.power_limit_w) == ("AMD Instinct MI300X", 750.0)
    assert (first.pci_bus, second.pci_bus) == ("0000:05:00.0", "0000:0a:00.0")


def _bdf(handle: Any, out: Any) -> None:
    out.struct_amdsmi_bdf_t.bus_number = 5 * handle.value
