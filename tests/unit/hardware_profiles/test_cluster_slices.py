"""DRA devices: each once, whatever state their driver's slices are in."""

import json
from typing import Any

import pytest
from kube_api import dra_gpu, resource_slice

from stack.hardware_profiles.cluster.slices import Devices, read_slices
from stack.hardware_profiles.cluster.wire import ResourceSlice, decoder


def devices(*slices: dict[str, Any]) -> Devices:
    return read_slices(decoder(ResourceSlice)(json.dumps(each).encode()) for each in slices)


def test_a_nodes_gpus_are_counted_over_all_slices_of_the_pool() -> None:
    found = devices(
        resource_slice("gpu.nvidia.com", "n1", [dra_gpu("gpu-0"), dra_gpu("gpu-1")], slices=2),
        resource_slice("gpu.nvidia.com", "n1", [dra_gpu("gpu-2"), dra_gpu("gpu-3")], slices=2, name="second"),
    )
    (gpus,) = found.by_node["n1"].accelerators
    assert (gpus.devices, gpus.capacity, gpus.allocatable, gpus.source) == (4, 4, None, "dra")
    assert (gpus.product, gpus.memory_bytes, gpus.driver) == ("NVIDIA GB200", 189471 << 20, "580.65.6")
    assert found.incomplete == ()


def test_slices_of_an_older_generation_do_not_count() -> None:
    found = devices(
        resource_slice("gpu.nvidia.com", "n1", [dra_gpu("gpu-0"), dra_gpu("gpu-1")], generation=1),
        resource_slice("gpu.nvidia.com", "n1", [dra_gpu("gpu-0")], generation=2),
    )
    assert [each.devices for each in found.by_node["n1"].accelerators] == [1]


def test_a_pool_with_slices_missing_is_named() -> None:
    assert devices(resource_slice("gpu.nvidia.com", "n1", [dra_gpu("gpu-0")], slices=2)).incomplete == ("gpu.nvidia.com/n1",)


def test_mig_devices_beside_the_gpu_they_would_be_cut_from_are_parts() -> None:
    parts = [dra_gpu(name, type="mig", profile="1g.12gb") for name in ("m0", "m1")]
    found = devices(resource_slice("gpu.nvidia.com", "n1", [dra_gpu("gpu-0"), *parts])).by_node["n1"].accelerators
    assert {(each.partition, each.devices, each.capacity) for each in found} == {(None, 1, 1), ("mig-1g.12gb", None, 2)}


@pytest.mark.parametrize("qualified", [False, True])
def test_the_older_api_and_qualified_names_say_the_same(qualified: bool) -> None:
    gpu = dra_gpu("gpu-0")
    body = {part: {f"gpu.nvidia.com/{name}" if qualified else name: value for name, value in gpu.pop(part).items()} for part in ("attributes", "capacity")}
    (found,) = devices(resource_slice("gpu.nvidia.com", "n1", [{**gpu, "basic": body}])).by_node["n1"].accelerators
    assert (found.product, found.memory_bytes) == ("NVIDIA GB200", 189471 << 20)


def test_devices_of_no_node_and_of_other_drivers_are_kept_apart() -> None:
    found = devices(
        resource_slice("fabric.example", None, [{"name": "a"}, {"name": "b"}]),
        resource_slice("dra.net", "n1", [{"name": "eth0"}]),
    )
    assert found.unplaced == 2
    assert found.by_node["n1"].accelerators == []
    assert {name: each.capacity for name, each in found.by_node["n1"].others.items()} == {"dra.net": 1}
