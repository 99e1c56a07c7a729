"""Makers' programs are asked safely: they are stood in for by small scripts that print, fail, hang or flood."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.hardware_profiles.accelerators import amd, gaudi, neuron
from stack.hardware_profiles.accelerators.makers import read_others
from stack.hardware_profiles.accelerators.pci import AMAZON, AMD, HABANA, PciDevice
from stack.hardware_profiles.accelerators.tools import ask_tool
from stack.hardware_profiles.tree import Tree, UnreadableError

Script = Callable[[str, str], None]

GPU = {"asic": {"market_name": "AMD Instinct MI300X"}, "bus": {"bdf": "0000:83:00.0"}, "vram": {"size": {"value": 196592, "unit": "MB"}}}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Installs a program of a name and a shell body, before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def install(name: str, body: str) -> None:
        place = folder / name
        place.write_text(f"#!/bin/sh\n{body}\n")
        place.chmod(0o755)

    return install


def printing(text: str) -> str:
    return f"cat <<'END'\n{text}\nEND"


def test_a_program_that_hangs_is_ended_and_named(script: Script) -> None:
    script("amd-smi", "exec sleep 60")
    with pytest.raises(UnreadableError, match=r"amd-smi gave no answer in 0\.2 s"):
        ask_tool(("amd-smi", "static"), timeout_s=0.2)


def test_a_program_that_fails_is_quoted(script: Script) -> None:
    script("hl-smi", "echo 'no driver loaded' >&2; exit 3")
    with pytest.raises(UnreadableError, match="hl-smi ended with status 3: no driver loaded"):
        ask_tool(("hl-smi",))


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(UnreadableError, match="no-such-smi is not installed"):
        ask_tool(("no-such-smi",))


def test_arguments_reach_the_program_as_they_are(script: Script) -> None:
    script("hl-smi", 'printf "%s\\n" "$@"')
    assert ask_tool(("hl-smi", "a b", "$(id)", "; true")).splitlines() == ["a b", "$(id)", "; true"]


def test_an_older_hl_smi_is_asked_again_without_the_columns_it_lacks(script: Script) -> None:
    table = "index, name, bus_id, driver_version, uuid, memory.total [MiB]\n0, HL-225, 0000:19:00.0, 1.15.1, 01P0, 98304 MiB"
    script("hl-smi", f'case "$2" in *serial*) echo unknown query >&2; exit 1;; esac\n{printing(table)}')
    (device,) = gaudi.ask()
    assert (device.name, device.memory_bytes, device.serial) == ("HL-225", 96 << 30, None)


def test_a_newer_neuron_ls_is_asked_in_its_new_form_and_the_driver_names_the_product(script: Script, tmp_path: Path) -> None:
    answer = json.dumps({"neuron_devices": [{"neuron_device": 0, "bdf": "00:1e.0", "memory_size": 34359738368}]})
    script("neuron-ls", f'[ "$1" = --output-format ] || {{ echo "unknown flag" >&2; exit 2; }}\n{printing(answer)}')
    folder = tmp_path / "root/sys/devices/virtual/neuron_device/neuron0/info/architecture"
    folder.mkdir(parents=True)
    (folder / "device_name").write_text("Inferentia2\n")
    (folder / "arch_type").write_text("NDv3\n")
    (device,) = neuron.ask(Tree(tmp_path / "root"))
    assert (device.name, device.architecture, device.memory_bytes, device.pci_bus) == ("Inferentia2", "NDv3", 32 << 30, "0000:00:1e.0")


def test_a_tool_is_asked_only_when_a_device_of_its_maker_is_on_the_bus(script: Script, tmp_path: Path) -> None:
    for name in ("amd-smi", "hl-smi", "neuron-ls"):
        script(name, f"touch {tmp_path}/asked-{name}; exit 1")
    tree = Tree(tmp_path)
    read_others(tree, [PciDevice("0000:3b:00.0", HABANA, 0x1060)], first_index=0, this_machine=True)
    assert sorted(path.name for path in tmp_path.glob("asked-*")) == ["asked-hl-smi"]
    read_others(tree, [PciDevice("0000:83:00.0", AMD, 0x74A1), PciDevice("0000:e1:00.0", AMAZON, 0x7364)], first_index=0, this_machine=False)
    assert sorted(path.name for path in tmp_path.glob("asked-*")) == ["asked-hl-smi"]


def test_a_device_that_only_the_tool_lists_is_not_lost(script: Script, tmp_path: Path) -> None:
    script("amd-smi", printing(json.dumps([GPU, {**GPU, "bus": {"bdf": "0000:84:00.0"}}])))
    tree = Tree(tmp_path)
    found = read_others(tree, [PciDevice("0000:83:00.0", AMD, 0x74A1)], first_index=3, this_machine=True)
    assert [(each.index, each.pci_bus, each.memory_bytes, each.source) for each in found] == [
        (3, "0000:83:00.0", 196592 << 20, "amdsmi"),
        (4, "0000:84:00.0", 196592 << 20, "amdsmi"),
    ]


def test_a_failing_tool_leaves_the_bus_entry_and_its_reason(script: Script, tmp_path: Path) -> None:
    script("hl-smi", "echo garbage")
    tree = Tree(tmp_path)
    (device,) = read_others(tree, [PciDevice("0000:3b:00.0", HABANA, 0x1060)], first_index=0, this_machine=True)
    assert (device.name, device.source) == ("Gaudi 3", "pci")
    assert any(probe.name == "accelerators.hl-smi" and "hl-smi" in probe.reason for probe in tree.probes)


# The names and forms of amdsmi 7.0.2 (amdsmi_interface.py); power in micro-watts, memory in MB.
LIBRARY = """
print("a word on stdout, as the real package prints one")
class Error(Exception): ...
def amdsmi_init(): ...
def amdsmi_shut_down(): ...
def amdsmi_get_processor_handles(): return [1]
def amdsmi_get_gpu_asic_info(handle): return {"market_name": "AMD Instinct MI325X", "asic_serial": "0x1F", "target_graphics_version": "gfx942"}
def amdsmi_get_gpu_device_bdf(handle): return "0000:05:00.0"
def amdsmi_get_gpu_vram_info(handle): return {"vram_size": 262128}
def amdsmi_get_gpu_driver_info(handle): return {"driver_name": "amdgpu", "driver_version": "6.14.14"}
def amdsmi_get_power_cap_info(handle): return {"power_cap": 1000000000, "default_power_cap": 1000000000, "min_power_cap": 0, "max_power_cap": 1000000000}
def amdsmi_get_gpu_vbios_info(handle): raise Error("not supported")
"""
ASK = "from stack.hardware_profiles.accelerators.amd import ask_library; print('|'.join(gpu.model_dump_json() for gpu in ask_library()))"


def run(package: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_package_amdsmi_is_asked_field_by_field_and_keeps_stdout_clean(tmp_path: Path) -> None:
    (tmp_path / "amdsmi.py").write_text(LIBRARY)
    done = run(tmp_path, ASK)
    gpu = json.loads(done.stdout)
    assert (gpu["name"], gpu["memory_bytes"], gpu["driver"], gpu["serial"]) == ("AMD Instinct MI325X", 262128 << 20, "6.14.14", "0x1F")
    assert (gpu["power_limit_w"], gpu["min_power_limit_w"], gpu["max_power_limit_w"]) == (1000.0, 0.0, 1000.0)
    assert gpu["vbios"] is None


@pytest.mark.parametrize(
    "fault", ["raise KeyError('libamd_smi.so')", "raise OSError('no libamd_smi.so')", "def amdsmi_init(): raise RuntimeError('no driver')"]
)
def test_a_package_without_its_library_or_driver_is_a_reason(fault: str, tmp_path: Path) -> None:
    (tmp_path / "amdsmi.py").write_text(f"print('Unable to find libamd_smi.so library')\n{fault}\n")
    code = (
        "from stack.hardware_profiles.accelerators.amd import ask_library; from stack.hardware_profiles.tree import UnreadableError\n"
        "try: ask_library()\nexcept UnreadableError as error: print(error)"
    )
    assert run(tmp_path, code).stdout.startswith("the package amdsmi cannot use its library libamd_smi")


def test_a_missing_package_is_a_reason() -> None:
    if importlib.util.find_spec("amdsmi") is not None:
        pytest.skip(reason="a machine without amdsmi cannot be shown here: the package is installed")
    with pytest.raises(UnreadableError, match="not installed"):
        amd.ask_library()


# The names and forms of pyhlml 1.9.0.580 (main.py): bytes for text, milliwatts, and one handle object for all devices.
GAUDI_LIBRARY = """
class Handle: index = None
class Info: pass
handle = Handle()
print("a word on stdout")
def hlmlInit(): ...
def hlmlShutdown(): ...
def hlmlDeviceGetCount(): return 2
def hlmlDeviceGetHandleByIndex(index):
    handle.index = index
    return handle
def hlmlDeviceGetName(handle): return b"HL-325L"
def hlmlDeviceGetUUID(handle): return b"01P4-HL3090A0-18-UAN071-12-03-0%d" % handle.index
def hlmlDeviceGetSerial(handle): raise RuntimeError("Not supported")
def hlmlDeviceGetPCIInfo(handle):
    info = Info()
    info.bus_id = b"0000:%d0:00.0" % (handle.index + 3)
    return info
def hlmlDeviceGetMemoryInfo(handle):
    info = Info()
    info.total = 137438953472
    return info
def hlmlDeviceGetPowerManagementDefaultLimit(handle): return 850000
def hlmlGetDriverVersion(): return b"1.24.1"
"""


def test_the_package_pyhlml_is_asked_device_by_device(tmp_path: Path) -> None:
    (tmp_path / "pyhlml").mkdir()
    (tmp_path / "pyhlml/__init__.py").touch()
    (tmp_path / "pyhlml/main.py").write_text(GAUDI_LIBRARY)
    code = "from stack.hardware_profiles.accelerators.gaudi import ask_library; print('\\n'.join(each.model_dump_json() for each in ask_library()))"
    first, second = (json.loads(line) for line in run(tmp_path, code).stdout.splitlines())
    assert (first["pci_bus"], first["name"], first["driver"], first["memory_bytes"]) == ("0000:30:00.0", "HL-325L", "1.24.1", 128 << 30)
    assert (first["default_power_limit_w"], first["serial"]) == (850.0, None)
    assert (second["pci_bus"], second["uuid"]) == ("0000:40:00.0", "01P4-HL3090A0-18-UAN071-12-03-01")
