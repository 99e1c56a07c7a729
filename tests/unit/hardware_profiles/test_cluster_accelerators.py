"""Pieces that a resource counts are not always devices: every known way to count wrongly."""

import pytest

from stack.hardware_profiles.cluster.accelerators import read_resources
from stack.hardware_profiles.cluster.inventory import NodeAccelerator

H100 = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/cuda.driver-version.full": "570.124.06",
}


def only(capacity: dict[str, str], labels: dict[str, str], allocatable: dict[str, str] | None = None) -> NodeAccelerator:
    (found,), _ = read_resources(capacity, capacity if allocatable is None else allocatable, labels)
    return found


def test_a_plain_node_has_what_discovery_labels_say_of_it() -> None:
    found = only({"cpu": "224", "nvidia.com/gpu": "8"}, H100, {"nvidia.com/gpu": "7"})
    assert (found.product, found.devices, found.capacity, found.allocatable) == ("NVIDIA-H100-80GB-HBM3", 8, 8, 7)
    assert (found.memory_bytes, found.driver, found.source, found.described_by) == (81559 << 20, "570.124.06", "device-plugin", "labels")


def test_time_sliced_gpus_are_counted_once_for_all_their_places() -> None:
    shared = {**H100, "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED", "nvidia.com/gpu.replicas": "10"}
    found = only({"nvidia.com/gpu": "80"}, shared)
    assert (found.product, found.devices, found.capacity) == ("NVIDIA-H100-80GB-HBM3", 8, 80)
    renamed = only({"nvidia.com/gpu.shared": "80"}, shared)
    assert (renamed.devices, renamed.capacity) == (8, 80)


def test_gke_shares_gpus_under_labels_of_its_own() -> None:
    labels = {"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-max-shared-clients-per-gpu": "4"}
    found = only({"nvidia.com/gpu": "8"}, labels)
    assert (found.product, found.devices, found.memory_bytes) == ("nvidia-l4", 2, None)


def test_mig_devices_under_the_plain_name_are_parts_and_no_gpus() -> None:
    labels = {"nvidia.com/gpu.product": "A100-SXM4-40GB-MIG-1g.5gb", "nvidia.com/gpu.count": "56", "nvidia.com/gpu.memory": "5120"}
    found = only({"nvidia.com/gpu": "56"}, labels)
    assert (found.product, found.partition, found.devices, found.capacity, found.memory_bytes) == ("A100-SXM4-40GB", "mig-1g.5gb", None, 56, 5 << 30)


def test_mixed_mig_keeps_whole_gpus_and_parts_apart() -> None:
    labels = {
        **H100,
        "nvidia.com/gpu.count": "7",
        "nvidia.com/mig-3g.40gb.product": "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb",
        "nvidia.com/mig-3g.40gb.memory": "40448",
    }
    (whole, part), _ = read_resources({"nvidia.com/gpu": "7", "nvidia.com/mig-3g.40gb": "2"}, {}, labels)
    assert (whole.devices, whole.partition, whole.allocatable) == (7, None, None)
    assert (part.devices, part.partition, part.capacity, part.product, part.memory_bytes) == (None, "mig-3g.40gb", 2, "NVIDIA-H100-80GB-HBM3", 40448 << 20)


@pytest.mark.parametrize("capacity", [{}, {"nvidia.com/gpu": "0"}])
def test_gpus_that_only_labels_know_are_not_lost(capacity: dict[str, str]) -> None:
    found = only(capacity, H100)
    assert (found.devices, found.capacity, found.source) == (8, 0, "labels")


def test_a_plugin_that_found_nothing_is_no_accelerator() -> None:
    assert read_resources({"nvidia.com/gpu": "0", "amd.com/gpu": "0"}, {}, {}) == ((), {})


def test_neuron_devices_and_their_cores_are_the_same_hardware() -> None:
    capacity = {"aws.amazon.com/neuron": "16", "aws.amazon.com/neurondevice": "16", "aws.amazon.com/neuroncore": "128"}
    found, _ = read_resources(capacity, capacity, {})
    assert {each.resource: each.devices for each in found} == {"aws.amazon.com/neuron": 16, "aws.amazon.com/neuroncore": None}


def test_amd_labels_give_name_and_memory() -> None:
    found = only(
        {"amd.com/gpu": "8"}, {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G", "amd.com/gpu.driver-version": "6.12.12"}
    )
    assert (found.vendor, found.product, found.memory_bytes, found.driver) == ("AMD", "AMD Instinct MI300X OAM", 192 << 30, "6.12.12")


@pytest.mark.parametrize(("resource", "vendor"), [("habana.ai/gaudi", "Intel Gaudi"), ("google.com/tpu", "Google"), ("gpu.intel.com/xe", "Intel")])
def test_an_accelerator_without_labels_is_counted_and_stays_unnamed(resource: str, vendor: str) -> None:
    found = only({resource: "8"}, {})
    assert (found.vendor, found.devices, found.product, found.memory_bytes, found.described_by) == (vendor, 8, None, None, None)


def test_other_extended_resources_are_kept_beside() -> None:
    accelerators, others = read_resources({"cpu": "8", "hugepages-2Mi": "0", "rdma/hca": "63", "example.com/odd": "a few"}, {"rdma/hca": "60"}, {})
    assert accelerators == ()
    assert {name: (each.capacity, each.allocatable) for name, each in others.items()} == {"rdma/hca": (63, 60)}


def test_the_deprecated_driver_labels_still_count() -> None:
    old = {"nvidia.com/cuda.driver.major": "535", "nvidia.com/cuda.driver.minor": "183", "nvidia.com/cuda.driver.rev": "01"}
    assert only({"nvidia.com/gpu": "1"}, old).driver == "535.183.01"
