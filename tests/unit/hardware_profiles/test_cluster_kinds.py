"""Kinds of node and sums over them."""

import json
from typing import Any

from kube_api import gpu_node, node

from stack.hardware_profiles.cluster.inventory import ClusterNode
from stack.hardware_profiles.cluster.kinds import device_memory, devices_by_product, group, total
from stack.hardware_profiles.cluster.nodes import identifier, read_node
from stack.hardware_profiles.cluster.wire import Node, decoder

KEY = b"key of a cluster"


def read(made: dict[str, Any], *, shown: bool = False) -> ClusterNode:
    return read_node(decoder(Node)(json.dumps(made).encode()), identifier(KEY, shown=shown))


def test_nodes_that_differ_by_what_the_kernel_keeps_are_one_kind() -> None:
    # 4 KiB to either side of a border that rounding to GiB would draw.
    nodes = [read(node(f"n{step}", memory=f"{(1 << 20) * 512 + (1 << 19) + step * 4}Ki")) for step in (-1, 1)]
    (kind,) = group(nodes)
    assert kind.count == 2
    assert (kind.least_memory_bytes, kind.most_memory_bytes) == (nodes[0].memory_bytes, nodes[1].memory_bytes)


def test_other_memory_gpus_or_instance_types_are_other_kinds() -> None:
    nodes = [
        read(node("a")),
        read(node("b", memory="791746584Ki")),
        read(gpu_node("c")),
        read(gpu_node("d", **{"node.kubernetes.io/instance-type": "p5e.48xlarge"})),
    ]
    assert [kind.example for kind in group(nodes)] == ["c", "d", "a", "b"]


def test_an_unhealthy_gpu_leaves_a_node_in_its_kind_and_out_of_the_sum() -> None:
    ill = gpu_node("ill")
    ill["status"]["allocatable"]["nvidia.com/gpu"] = "7"
    (kind,) = group([read(gpu_node("well")), read(ill)])
    assert (kind.count, kind.accelerators[0].devices, kind.accelerators[0].capacity, kind.accelerators[0].allocatable) == (2, 8, 8, 15)


def test_sums_over_devices_count_no_part_and_hide_no_unknown() -> None:
    unnamed = read(node("tpu", resources={"google.com/tpu": "4"}))
    parts = read(gpu_node("mig", **{"nvidia.com/gpu.product": "A100-SXM4-40GB-MIG-1g.5gb"}))
    nodes = [read(gpu_node("a")), unnamed, parts]
    assert devices_by_product(nodes) == ({"NVIDIA-H100-80GB-HBM3": 8, "Google (google.com/tpu, product unknown)": 4}, ["mig"])
    assert device_memory(nodes) is None
    assert device_memory(nodes[:1]) == 8 * (81559 << 20)
    assert total([1.0, None]) is None
    assert total([]) is None


def test_identifiers_are_hashed_with_the_clusters_key_and_node_names_stay() -> None:
    hidden, shown = read(gpu_node("ip-10-0-0-1.ec2.internal")), read(gpu_node("ip-10-0-0-1.ec2.internal"), shown=True)
    assert hidden.name == shown.name == "ip-10-0-0-1.ec2.internal"
    for name in ("provider_id", "machine_id", "system_uuid"):
        assert getattr(hidden, name).startswith("hmac:")
        assert getattr(shown, name)
    assert shown.addresses[0].startswith("InternalIP:10.1.")
    text = hidden.model_dump_json()
    for secret in (shown.provider_id, shown.machine_id, shown.system_uuid, shown.addresses[0].partition(":")[2], "7b968a6d", "jane.doe"):
        assert secret
        assert secret not in text
    assert read(gpu_node("ip-10-0-0-1.ec2.internal")).machine_id == hidden.machine_id


def test_a_node_of_which_nothing_is_said_is_unknown_and_not_zero() -> None:
    bare = read({"metadata": {"name": "bare"}})
    assert (bare.ready, bare.cpus, bare.memory_bytes, bare.kernel, bare.accelerators) == (None, None, None, None, ())
    null = {"metadata": {"name": "null", "labels": None}, "spec": None, "status": {"capacity": None, "conditions": None, "addresses": None, "nodeInfo": None}}
    assert read(null).ready is None


def test_conditions_that_a_healthy_node_does_not_have_are_named() -> None:
    made = node("n")
    conditions = {"Ready": "Unknown", "MemoryPressure": "True", "PIDPressure": "False"}
    made["status"]["conditions"] = [{"type": kind, "status": status} for kind, status in conditions.items()]
    gone = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    made["spec"] |= {"unschedulable": True, "taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}, gone]}
    found = read(made)
    assert (found.ready, found.unschedulable) == (False, True)
    assert found.conditions == ("Ready=Unknown", "MemoryPressure=True")
    assert found.taints == ("gpu=yes:NoSchedule", "node.kubernetes.io/unreachable:NoExecute")
