"""Live values of the makers beside NVIDIA. All answers are assumed: by the forms of the makers' packages and documents, none recorded on hardware.

AMD's and Gaudi's are in the form in which the real packages gave them in tests/integration/hardware_profiles (see maker_kit.py there).
"""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles.telemetry import neuron
from stack.hardware_profiles.telemetry.amd import AmdReader
from stack.hardware_profiles.telemetry.gaudi import GaudiReader
from stack.hardware_profiles.telemetry.neuron import NeuronReader
from stack.hardware_profiles.telemetry.readers import Reading
from stack.hardware_profiles.telemetry.tpu import TpuReader, spread
from stack.hardware_profiles.tree import Tree, UnreadableError

# amdsmi 7.0.2: what amdsmi_get_gpu_metrics_info makes of an MI300X's table, in part; the other fields are "N/A" there.
MI300X: dict[str, Any] = {
    "temperature_edge": "N/A",
    "temperature_hotspot": 58,
    "temperature_mem": 47,
    "average_gfx_activity": 91,
    "average_umc_activity": 33,
    "average_socket_power": "N/A",
    "current_socket_power": 605,
    "energy_accumulator": 3 << 16,
    "average_gfxclk_frequency": "N/A",
    "current_gfxclk": "N/A",
    "current_gfxclks": [2100, 1900, "N/A", "N/A", "N/A", "N/A", "N/A", "N/A"],
    "current_uclk": 1300,
    "throttle_status": "N/A",
    "ppt_residency_acc": 500,
    "socket_thm_residency_acc": 7,
    "prochot_residency_acc": "N/A",
    "vr_thm_residency_acc": "N/A",
    "hbm_thm_residency_acc": "N/A",
}
# The forms of AWS's Neuron monitor user guide (neuron-monitor-user-guide.rst), its values and two applications on two devices of four cores, joined two by two.
NEURON: dict[str, Any] = {
    "neuron_runtime_data": [
        {
            "pid": 1,
            "error": "",
            "report": {
                "neuroncore_counters": {
                    "period": 1.000113182,
                    "neuroncores_in_use": {
                        "0": {"neuroncore_utilization": 42.0, "flops": 1234567891011, "v3d": {"nc_v3.0": {"neuroncore_utilization": 21.0}}},
                        "1": {"neuroncore_utilization": 20.0, "flops": 1234567891021},
                    },
                    "error": "",
                },
                "memory_used": {
                    "neuron_runtime_used_bytes": {
                        "host": 6997643264,
                        "neuron_device": 782458880,
                        "usage_breakdown": {
                            "host": {"application_memory": 6996594688},
                            "neuroncore_memory_usage": {
                                "0": {"constants": 193986816, "model_code": 176285056, "model_shared_scratchpad": 0, "runtime_memory": 0, "tensors": 20971520},
                                "1": {"constants": 193986816, "model_code": 176285056, "model_shared_scratchpad": 0, "runtime_memory": 0, "tensors": 20971520},
                            },
                        },
                    }
                },
            },
        },
        {"pid": 2, "error": "", "report": {"neuroncore_counters": {"neuroncores_in_use": {"3": {"neuroncore_utilization": 50.0}}, "error": ""}}},
    ],
    "system_data": {
        "neuron_hw_counters": {
            "neuron_devices": [
                {"neuron_device_index": 0, "mem_ecc_corrected": 3, "mem_ecc_uncorrected": 0, "sram_ecc_uncorrected": 1, "sram_ecc_corrected": 2},
                {"neuron_device_index": 1, "mem_ecc_corrected": 0, "mem_ecc_uncorrected": 0, "sram_ecc_uncorrected": 0},
            ],
            "error": "",
        }
    },
    "neuron_hardware_info": {
        "neuron_device_type": "trainium2",
        "neuron_device_count": 2,
        "neuron_device_memory_size": 103079215104,
        "neuroncore_per_device_count": 4,
        "logical_neuroncore_config": 2,
        "error": "",
    },
}


def by_metric(readings: tuple[Reading, ...], device: int) -> dict[str, float]:
    return {".".join([each.metric.removeprefix("stackproof_gpu_"), *each.labels[3:]]): each.value for each in readings if each.labels[0] == str(device)}


def machine_with(module: str, root: Path) -> Tree:
    (root / "sys/module" / module).mkdir(parents=True)
    return Tree(root, identifiers=True)


class StandIn(ModuleType):
    """A module of a name that holds these functions and nothing else."""

    def __init__(self, name: str, **functions: Any) -> None:
        super().__init__(name)
        self.__dict__.update(functions)


def refuse(*_arguments: object) -> Any:
    raise RuntimeError("AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported")


@pytest.fixture
def amdsmi(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = StandIn(
        "amdsmi",
        amdsmi_init=lambda: None,
        amdsmi_shut_down=lambda: None,
        amdsmi_get_processor_handles=lambda: ["first", "second"],
        amdsmi_get_gpu_asic_info=lambda _handle: {"market_name": "AMD Instinct MI300X"},
        amdsmi_get_gpu_device_uuid=lambda handle: f"uuid of the {handle}",
        amdsmi_get_gpu_metrics_info=lambda _handle: dict(MI300X),
        amdsmi_get_gpu_vram_usage=lambda _handle: {"vram_total": 196592, "vram_used": 283},
        amdsmi_get_power_cap_info=lambda _handle: {"power_cap": 750_000_000},
        amdsmi_get_gpu_total_ecc_count=lambda _handle: {"correctable_count": 12, "uncorrectable_count": 1, "deferred_count": 0},
    )
    monkeypatch.setitem(sys.modules, "amdsmi", module)
    return module


def test_amds_table_is_told_in_base_units_with_the_mean_clock_of_its_dies(amdsmi: StandIn, tmp_path: Path) -> None:
    assert amdsmi.amdsmi_get_gpu_metrics_info("first") == MI300X
    told = by_metric(AmdReader(machine_with("amdgpu", tmp_path)).read(), 1)
    assert told == {
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
        "ecc_errors_total.corrected": 12,
        "ecc_errors_total.uncorrected": 1,
        "ecc_errors_total.deferred": 0,
        "up": 1,
    }


def test_an_amd_gpu_is_throttled_while_a_residency_counter_rises(amdsmi: StandIn, tmp_path: Path) -> None:
    reader = AmdReader(machine_with("amdgpu", tmp_path))
    reader.read()
    amdsmi.amdsmi_get_gpu_metrics_info = lambda handle: MI300X | ({"ppt_residency_acc": 501} if handle == "first" else {})
    told = reader.read()
    assert by_metric(told, 0)["throttle_active.power_cap"] == 1
    assert by_metric(told, 1)["throttle_active.power_cap"] == 0
    assert {each.labels[3] for each in told if "throttle" in each.metric} == {"power_cap", "thermal_hardware"}  # what is N/A is no reason


def test_what_an_amd_gpu_refuses_is_absent_and_logged_once(amdsmi: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    amdsmi.amdsmi_get_gpu_total_ecc_count = refuse
    reader = AmdReader(machine_with("amdgpu", tmp_path))
    with caplog.at_level("INFO"):
        reader.read()
        told = reader.read()
    assert not [each for each in told if "ecc" in each.metric]
    assert [record.getMessage() for record in caplog.records] == [
        "source amd: stackproof_gpu_ecc_errors_total has no answer from device 0: AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported"
    ]


def test_amd_gpus_that_all_stop_to_answer_are_a_reason_and_the_library_is_opened_anew(amdsmi: StandIn, tmp_path: Path) -> None:
    opened: list[None] = []
    amdsmi.amdsmi_init = lambda: opened.append(None)
    working = dict(amdsmi.__dict__)
    reader = AmdReader(machine_with("amdgpu", tmp_path))
    reader.read()
    for name in ("amdsmi_get_gpu_metrics_info", "amdsmi_get_gpu_vram_usage", "amdsmi_get_power_cap_info", "amdsmi_get_gpu_total_ecc_count"):
        setattr(amdsmi, name, refuse)
    with pytest.raises(UnreadableError, match="amdsmi: no GPU answers"):
        reader.read()
    amdsmi.__dict__.update(working)
    assert by_metric(reader.read(), 0)["up"] == 1
    assert len(opened) == 2


@pytest.fixture
def hlml(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """One handle object for all devices, as the package has it."""
    handle = SimpleNamespace(index=None)

    def by_index(index: int) -> SimpleNamespace:
        handle.index = index
        return handle

    module = StandIn(
        "pyhlml.main",
        hlmlInit=lambda: None,
        hlmlShutdown=lambda: None,
        hlmlDeviceGetCount=lambda: 2,
        hlmlDeviceGetHandleByIndex=by_index,
        hlmlDeviceGetName=lambda _handle: b"HL-325L",
        hlmlDeviceGetUUID=lambda given: b"01P4-HL3090A0-18-UAN071-12-03-%02d" % given.index,
        hlmlDeviceGetUtilizationRates=lambda given: 73 + given.index,
        hlmlDeviceGetMemoryInfo=lambda _handle: SimpleNamespace(free=136734310400, total=128 << 30, used=704643072),
        hlmlDeviceGetPowerUsage=lambda _handle: 421500,
        hlmlDeviceGetTemperature=lambda _handle, sensor: {0: 64, 1: 41}[sensor],
        hlmlDeviceGetClockInfo=lambda _handle, clock: {0: 1600}[clock],
        hlmlDeviceGetCurrentClocksThrottleReasons=lambda _handle: 2,
        hlmlDeviceGetTotalECCErrors=lambda _handle, kind, counter: {(1, 0): 5}[kind, counter],
    )
    monkeypatch.setitem(sys.modules, "pyhlml", ModuleType("pyhlml"))
    monkeypatch.setitem(sys.modules, "pyhlml.main", module)
    return module


def test_each_gaudi_is_asked_by_its_own_handle_and_a_function_that_a_release_lacks_is_absent(hlml: StandIn, tmp_path: Path) -> None:
    assert not hasattr(hlml, "hlmlDeviceGetTotalEnergyConsumption")
    readings = GaudiReader(machine_with("habanalabs", tmp_path)).read()
    assert by_metric(readings, 0)["utilization_ratio"] == 0.73
    assert by_metric(readings, 1) == {
        "utilization_ratio": 0.74,
        "memory_used_bytes": 704643072,
        "memory_total_bytes": 128 << 30,
        "power_watts": 421.5,
        "temperature_celsius": 64,
        "sm_clock_hertz": 1.6e9,
        "throttle_active.power_cap": 0,
        "throttle_active.thermal_hardware": 1,
        "ecc_errors_total.uncorrected": 5,
        "up": 1,
    }
    assert {each.labels[2] for each in readings} == {"01P4-HL3090A0-18-UAN071-12-03-00", "01P4-HL3090A0-18-UAN071-12-03-01"}


def test_neuron_cores_are_counted_to_their_devices_and_an_unused_one_is_idle() -> None:
    readings = neuron.readings(json.dumps(NEURON))
    assert by_metric(readings, 0) == {
        "up": 1,
        "memory_total_bytes": 96 << 30,
        "utilization_ratio": pytest.approx((0.42 + 0.2) / 2),
        "memory_used_bytes": 782486784,
        "ecc_errors_total.corrected": 5,
        "ecc_errors_total.uncorrected": 1,
    }
    assert by_metric(readings, 1) == {
        "up": 1,
        "memory_total_bytes": 96 << 30,
        "utilization_ratio": pytest.approx(0.25),
        "ecc_errors_total.corrected": 0,
        "ecc_errors_total.uncorrected": 0,
    }
    assert {each.labels[1] for each in readings} == {"trainium2"}


def test_without_applications_a_neuron_device_has_no_utilization_rather_than_0() -> None:
    told = by_metric(neuron.readings(json.dumps({**NEURON, "neuron_runtime_data": []})), 0)
    assert told.keys() == {"up", "memory_total_bytes", "ecc_errors_total.corrected", "ecc_errors_total.uncorrected"}


def test_a_neuron_report_without_devices_gives_the_tools_own_reason() -> None:
    broken = {"neuron_hardware_info": {"neuron_device_count": 0, "error": "Neuron Driver is not running"}}
    with pytest.raises(UnreadableError, match="neuron-monitor: Neuron Driver is not running"):
        neuron.readings(json.dumps(broken))


@given(st.integers(0, 5000), st.characters())
def test_a_changed_character_in_a_neuron_report_is_read_or_refused(place: int, char: str) -> None:
    text = json.dumps(NEURON)
    place %= len(text)
    try:
        found = neuron.readings(text[:place] + char + text[place + 1 :])
    except UnreadableError:
        return
    assert all(each.value >= 0 and len(each.labels) >= 3 for each in found)


def test_a_duty_cycle_of_a_chip_goes_to_each_of_its_devices() -> None:
    assert spread({0: 0.5, 1: 0.25}, [0, 1, 2, 3]) == {0: 0.5, 1: 0.5, 2: 0.25, 3: 0.25}
    assert spread({0: 0.5, 1: 0.25}, [0, 1]) == {0: 0.5, 1: 0.25}
    assert spread({0: 0.5, 1: 0.25}, [0, 1, 2]) == {}


@pytest.mark.parametrize(("reader", "reason"), [(AmdReader, "amdgpu"), (GaudiReader, "habanalabs"), (NeuronReader, "neuron"), (TpuReader, "no TPU")])
def test_a_machine_without_a_makers_devices_is_told_so_before_any_package_is_looked_for(tmp_path: Path, reader: type, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        reader(Tree(tmp_path)).read()


@pytest.mark.parametrize(("reader", "module", "name"), [(AmdReader, "amdgpu", "amdsmi"), (GaudiReader, "habanalabs", "pyhlml.main")])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reader: type, module: str, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnreadableError, match=f"the package {name.split('.', maxsplit=1)[0]} is not installed"):
        reader(machine_with(module, tmp_path)).read()
