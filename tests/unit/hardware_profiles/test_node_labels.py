"""Labels are those of GPU feature discovery, with values that Kubernetes takes."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles import Accelerator, Inventory, collect_inventory
from stack.hardware_profiles.inventory import Partition
from stack.hardware_profiles.labels import feature_file, label_value, node_labels

# apimachinery, pkg/util/validation: a qualified name and a label value.
VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
NAME = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def h100(index: int, **values: object) -> Accelerator:
    known = {
        "name": "NVIDIA H100 80GB HBM3",
        "memory_bytes": 81559 << 20,
        "architecture": "Hopper",
        "compute_capability": "9.0",
        "driver": "580.95.05",
        "cuda_version": "13.0",
    }
    return Accelerator.model_validate({"index": index, "vendor": "NVIDIA", "source": "nvml", "mig_enabled": False, **known, **values})


@pytest.fixture(scope="module")
def found(machine: Path) -> Inventory:
    return collect_inventory(machine)


def labels(found: Inventory, *accelerators: Accelerator) -> dict[str, str]:
    return node_labels(found.model_copy(update={"accelerators": accelerators}))


def test_a_node_of_eight_gpus_has_the_labels_of_gpu_feature_discovery(found: Inventory) -> None:
    told = labels(found, *(h100(n) for n in range(8)))
    assert {name: value for name, value in told.items() if name.startswith("nvidia.com/")} == {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/gpu.memory": "81559",
        "nvidia.com/gpu.family": "hopper",
        "nvidia.com/gpu.compute.major": "9",
        "nvidia.com/gpu.compute.minor": "0",
        "nvidia.com/gpu.machine": "PowerEdge-XE9680",
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/mig.capable": "true",
        "nvidia.com/cuda.driver-version.full": "580.95.05",
        "nvidia.com/cuda.driver-version.major": "580",
        "nvidia.com/cuda.driver-version.minor": "95",
        "nvidia.com/cuda.driver-version.revision": "05",
        "nvidia.com/cuda.runtime-version.full": "13.0",
        "nvidia.com/cuda.runtime-version.major": "13",
        "nvidia.com/cuda.runtime-version.minor": "0",
    }


@pytest.mark.parametrize(
    ("classes", "mode"),
    [
        ((0x030200, 0x030200), "compute"),
        ((0x030000, 0x030000), "graphics"),
        ((0x030200, 0x030000), "unknown"),  # as GPU feature discovery says it
        ((0x120000, 0x120000), "unknown"),
        ((0x030200, None), None),
    ],
)
def test_the_mode_is_the_pci_class_that_all_gpus_share(found: Inventory, classes: tuple[int | None, ...], mode: str | None) -> None:
    told = labels(found, *(h100(index, pci_class=each) for index, each in enumerate(classes)))
    assert told.get("nvidia.com/gpu.mode") == mode


def test_the_clique_is_told_when_all_gpus_are_in_one_and_it_is_not_hashed(found: Inventory) -> None:
    clique = "3b8c9f9e-1d0c-4bb4-9d5f-2f9a6b1d6c11.32766"
    assert labels(found, h100(0, nvlink_clique=clique), h100(1, nvlink_clique=clique))["nvidia.com/gpu.clique"] == clique
    for others in (None, "3b8c9f9e-1d0c-4bb4-9d5f-2f9a6b1d6c11.7"):
        assert "nvidia.com/gpu.clique" not in labels(found, h100(0, nvlink_clique=clique), h100(1, nvlink_clique=others))
    assert "nvidia.com/gpu.clique" not in labels(found, h100(0, nvlink_clique="hmac:0123456789ab"))


def test_mig_instances_have_labels_by_profile(found: Inventory) -> None:
    parts = tuple(
        Partition(name=name, memory_bytes=size << 20, compute_share=None, uuid=None)
        for name, size in (("1g.10gb", 9984), ("1g.10gb", 9984), ("1c.3g.40gb", 40448))
    )
    told = labels(found, h100(0, mig_enabled=True, partitions=parts))
    assert told["nvidia.com/mig.strategy"] == "mixed"
    assert (told["nvidia.com/mig-1g.10gb.count"], told["nvidia.com/mig-1g.10gb.memory"], told["nvidia.com/mig-1g.10gb.slices.gi"]) == ("2", "9984", "1")
    assert (told["nvidia.com/mig-1c.3g.40gb.slices.gi"], told["nvidia.com/mig-1c.3g.40gb.slices.ci"]) == ("3", "1")
    assert told["nvidia.com/mig-1g.10gb.product"] == "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"


def test_what_is_unknown_has_no_label(found: Inventory) -> None:
    told = labels(found, h100(0, memory_bytes=None, architecture=None, driver=None, mig_enabled=None))
    assert not any(name in told for name in ("nvidia.com/gpu.memory", "nvidia.com/gpu.family", "nvidia.com/cuda.driver-version.full", "nvidia.com/mig.capable"))
    assert all(told.values())


def test_an_accelerator_of_another_maker_is_labelled_by_vendor(found: Inventory) -> None:
    gaudi = [Accelerator(index=n, vendor="Intel Gaudi", source="hlml", name="HL-325L", memory_bytes=128 << 30) for n in range(8)]
    assert labels(found, *gaudi) == {
        "stackproof.accelerator-intel-gaudi.count": "8",
        "stackproof.accelerator-intel-gaudi.memory": "131072",
        "stackproof.accelerator-intel-gaudi.product": "HL-325L",
    }


def test_different_products_of_one_maker_have_a_count_and_no_product(found: Inventory) -> None:
    told = labels(found, h100(0), h100(1, name="NVIDIA L4"))
    assert told["nvidia.com/gpu.count"] == "1"  # of the product that the other labels speak of
    assert told["stackproof.accelerator-nvidia.count"] == "2"
    assert "stackproof.accelerator-nvidia.product" not in told


def test_a_feature_file_has_one_line_each_and_is_empty_without_accelerators(found: Inventory) -> None:
    lines = feature_file(labels(found, h100(0))).splitlines()
    assert "nvidia.com/gpu.memory=81559" in lines
    assert all(line.count("=") == 1 for line in lines)
    assert feature_file(labels(found)) == ""


@given(st.text(max_size=120))
def test_any_text_becomes_a_value_kubernetes_takes(text: str) -> None:
    value = label_value(text)
    assert len(value) <= 63
    assert VALUE.fullmatch(value)


@given(st.text(max_size=80), st.text(max_size=20), st.text(max_size=20), st.text(max_size=12))
def test_any_answer_of_a_driver_gives_labels_kubernetes_takes(found: Inventory, name: str, family: str, capability: str, version: str) -> None:
    part = Partition(name=name, memory_bytes=1 << 30, compute_share=None, uuid=None)
    told = labels(found, h100(0, name=name, architecture=family, compute_capability=capability, driver=version, partitions=(part,)))
    for label, value in told.items():
        assert NAME.fullmatch(label), label
        assert len(label.rpartition("/")[2]) <= 63, label
        assert VALUE.fullmatch(value), value
        assert len(value) <= 63
