"""The real pynvml against a small library of our own: its answers and refusals, not hardware."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nvml_kit import build

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("old-nvml"), "-DWITHOUT_MIG")


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
    assert found[0] == {
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
        "mig_enabled": False,
        "architecture": "Hopper",
        "serial": "1650123000000",
        "board_part_number": "692-2G520-0200-000",
        "vbios": "96.00.89.00.01",
        "cuda_version": "13.0",
        "default_power_limit_w": 700.0,
        "min_power_limit_w": 200.0,
        "max_power_limit_w": 700.0,
        "max_memory_clock_mhz": 2619,
        "uncorrected_ecc_errors": 0,
        "partitions": [],
        "pcie": {"generation": 5, "width": 16, "max_generation": 5, "max_width": 16},
        "numa_node": None,  # the stand-in's GPUs are not in this machine's sysfs
        "confidential_computing": True,
        "nvlinks_active": 18,
        "nvlink_version": 4,
        "nvlink_clique": "abababab-abab-abab-abab-abababababab.32766",
        "pci_class": None,
    }


def test_uuids_and_serials_are_hashed_and_still_distinct_by_default(library: Path) -> None:
    found = gpus(inventory(library, "8xh100"))
    hidden = [gpu[field] for gpu in found for field in ("uuid", "serial")]
    assert len(set(hidden)) == 16
    assert all(each.startswith("hmac:") for each in hidden)


def test_gpus_on_a_switch_are_joined_pair_by_pair_with_all_their_links(library: Path) -> None:
    links = inventory(library, "8xh100")["links"]
    assert len({(link["first"], link["second"]) for link in links}) == 8 * 7 / 2
    assert {(link["kind"], link["count"], link["path"]) for link in links} == {("nvswitch", 18, None)}


def test_an_nvlink_domain_is_hashed_and_unknown_while_it_is_not_joined_or_is_none(library: Path) -> None:
    hashed = {gpu["nvlink_clique"] for gpu in gpus(inventory(library, "8xh100"))}
    assert len(hashed) == 1
    assert hashed.pop().startswith("hmac:")
    for scenario in ("4xa100", "failing", "mig"):
        found = inventory(library, scenario)
        assert {gpu["nvlink_clique"] for gpu in gpus(found)} == {None}
        assert reasons(found)["accelerators.0.nvlink_clique"].startswith("NVML: ")


def test_straight_links_are_counted_and_other_pairs_have_their_path_over_the_bus(library: Path) -> None:
    found = inventory(library, "4xa100")
    links = {(link["first"], link["second"]): (link["kind"], link["count"], link["path"]) for link in found["links"]}
    assert links.pop((0, 1)) == ("nvlink", 4, None)
    assert links.pop((2, 3)) == ("nvlink", 4, None)
    assert links == dict.fromkeys([(0, 2), (0, 3), (1, 2), (1, 3)], ("pcie", None, "SYS"))
    assert {(gpu["nvlinks_active"], gpu["nvlink_version"]) for gpu in gpus(found)} == {(4, 3)}  # of the five, one is down


def test_the_parts_of_a_split_gpu_have_name_memory_share_and_identity(library: Path) -> None:
    (gpu,) = gpus(inventory(library, "mig", "--identifiers"))
    assert gpu["mig_enabled"] is True
    assert [(part["name"], part["memory_bytes"] >> 20, part["uuid"][:4]) for part in gpu["partitions"]] == [
        ("3g.20gb", 19968, "MIG-"),
        ("1g.5gb", 4864, "MIG-"),
        ("1g.5gb", 4864, "MIG-"),
    ]
    assert [part["compute_share"] for part in gpu["partitions"]] == pytest.approx([42 / 108, 14 / 108, 14 / 108])


def test_a_function_the_library_lacks_costs_that_field_alone(old_library: Path) -> None:
    found = inventory(old_library, "8xh100")
    assert "Function Not Found" in reasons(found)["accelerators.0.mig_enabled"]
    assert gpus(found)[0]["mig_enabled"] is None
    assert gpus(found)[0]["ecc_enabled"] is True


def test_a_lost_gpu_stays_in_the_list_and_does_not_hide_the_others(library: Path) -> None:
    found = inventory(library, "lost")
    healthy, lost = gpus(found)
    assert healthy["name"] == "NVIDIA H100 80GB HBM3"
    assert lost["name"] is None
    assert lost["memory_bytes"] is None
    assert "GPU is lost" in reasons(found)["accelerators.1.memory_bytes"]
    assert any(warning.startswith("accelerator 1 does not answer (NVML: GPU is lost)") for warning in found["warnings"])


def test_an_unsupported_question_is_unknown_and_never_zero(library: Path) -> None:
    found = inventory(library, "nopower")
    (gpu,) = gpus(found)
    unknown = (
        "power_limit_w",
        "min_power_limit_w",
        "ecc_enabled",
        "mig_enabled",
        "uncorrected_ecc_errors",
        "serial",
        "nvlinks_active",
        "confidential_computing",
    )
    assert {field: gpu[field] for field in unknown} == dict.fromkeys(unknown)
    assert gpu["memory_bytes"] == 16106127360
    assert all("Not Supported" in reasons(found)[f"accelerators.0.{field}"] for field in unknown)


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [("nodriver", "Driver Not Loaded"), ("mismatch", "version mismatch. (the loaded kernel module is older or newer than the library")],
)
def test_a_driver_that_cannot_be_spoken_to_is_told_with_the_mend(library: Path, scenario: str, reason: str) -> None:
    found = inventory(library, scenario)
    assert gpus(found) == []
    assert reason in reasons(found)["accelerators.nvml"]


def test_a_loaded_driver_without_devices_gives_none_and_no_complaint(library: Path) -> None:
    found = inventory(library, "nodevices")
    assert gpus(found) == []
    assert "accelerators.nvml" not in reasons(found)


def test_a_narrow_slot_and_failing_memory_are_warned_of(library: Path) -> None:
    assert any(warning.startswith("accelerator 0: PCIe x8 of x16") for warning in inventory(library, "mig")["warnings"])
    warnings = inventory(library, "failing")["warnings"]
    assert any(warning.startswith("accelerator 1: 2 uncorrected memory errors") for warning in warnings)
    assert any("NVIDIA H100 80GB HBM3 80 GiB, NVIDIA L40S 45 GiB" in warning for warning in warnings)


def test_the_table_shows_links_by_kind_and_every_warning_whole(library: Path) -> None:
    def table(scenario: str) -> str:
        environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "FAKE_NVML": scenario, "COLUMNS": "400"}
        command = [sys.executable, "-m", "stack.cli.main", "inventory"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "28 pairs over nvswitch, 18 links" in table("8xh100")
    shown = table("failing")
    assert "1 pair over pcie, PIX" in shown
    assert "drain it, reset it, and have it replaced if they come back" in shown
