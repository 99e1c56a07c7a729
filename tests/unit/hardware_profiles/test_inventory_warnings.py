from typing import Any

import pytest
from pydantic import BaseModel

from stack.hardware_profiles.accelerators.nvml.gpu import architecture, cuda_version
from stack.hardware_profiles.accelerators.nvml.partitions import profile_name
from stack.hardware_profiles.inventory import Accelerator, Cpu, Host, Inventory, Memory, NetworkInterface, PciePort, Software
from stack.hardware_profiles.tree import UnreadableError
from stack.hardware_profiles.warnings import warnings_of


def unknown(model: type[BaseModel]) -> dict[str, Any]:
    return dict.fromkeys(name for name, field in model.model_fields.items() if field.is_required())


def gpu(index: int = 0, **fields: Any) -> Accelerator:
    return Accelerator(
        **{**unknown(Accelerator), "index": index, "vendor": "NVIDIA", "source": "nvml", "name": "NVIDIA L4", "memory_bytes": 24 << 30, **fields}
    )


def port(**fields: int) -> PciePort:
    return PciePort(**{"generation": 4, "width": 16, "max_generation": 4, "max_width": 16, **fields})


def network(rdma: str | None) -> NetworkInterface:
    return NetworkInterface(name="ib0", virtual=False, speed_mbit_s=None, state=None, driver=None, address=None, rdma=rdma)


def machine(*accelerators: Accelerator, memory: dict[str, int] | None = None, rdma: str | None = None) -> Inventory:
    return Inventory(
        cpu=Cpu(**{**unknown(Cpu), "architecture": "x86_64", "isa": (), "caches": ()}),
        memory=Memory(**{**unknown(Memory), **(memory or {})}),
        storage=(),
        network=(network(rdma),),
        host=Host(**unknown(Host)),
        software=Software(operating_system=None, kernel=None, python="3", packages=()),
        accelerators=accelerators,
        probes=(),
    )


def test_a_healthy_machine_and_one_of_which_nothing_is_known_give_no_warning() -> None:
    assert warnings_of(machine(gpu(0, pcie=port()), gpu(1, pcie=port()), memory={"shared_bytes": 1 << 30})) == ()
    assert warnings_of(machine(gpu(0), gpu(1))) == ()


@pytest.mark.parametrize(
    ("inventory", "words"),
    [
        (machine(gpu(pcie=port(width=8))), "PCIe x8 of x16: check slot"),
        (machine(gpu(pcie=port(generation=1))), "PCIe generation 1 of 4: an idle GPU lowers it"),
        (machine(gpu(uncorrected_ecc_errors=3)), "3 uncorrected memory errors"),
        (machine(gpu(name=None, memory_bytes=None)), "accelerator 0 does not answer"),
        (machine(gpu(0), gpu(1, name="NVIDIA L40S")), "accelerators differ (NVIDIA L4 24 GiB, NVIDIA L40S 24 GiB)"),
        (machine(gpu(0), gpu(1, memory_bytes=23 << 30)), "accelerators differ"),
        (machine(gpu(0), gpu(1), memory={"shared_bytes": 64 << 20}), "holds 64 MiB with 2 accelerators"),
        (machine(memory={"locked_limit_bytes": 8 << 20}, rdma="InfiniBand mlx5_0"), "may lock 8192 KiB of memory, and ib0 offers RDMA"),
    ],
)
def test_what_costs_performance_is_told_in_one_line(inventory: Inventory, words: str) -> None:
    (warning,) = warnings_of(inventory)
    assert words in warning
    assert "\n" not in warning


@pytest.mark.parametrize(
    "inventory",
    [
        machine(gpu(), memory={"shared_bytes": 64 << 20}),  # one accelerator needs no collectives
        machine(memory={"locked_limit_bytes": 8 << 20}),  # nothing here locks
        machine(rdma="RoCE mlx5_0"),  # no limit, or none known
    ],
)
def test_a_limit_that_nothing_meets_is_not_warned_of(inventory: Inventory) -> None:
    assert warnings_of(inventory) == ()


def test_what_nvml_packs_into_a_number_or_a_name_is_taken_apart() -> None:
    assert (cuda_version(12080), cuda_version(13000)) == ("12.8", "13.0")
    assert profile_name("NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb") == "1c.3g.40gb"
    assert architecture(9) == "Hopper"
    with pytest.raises(UnreadableError, match="number 14 "):
        architecture(14)
