"""The record of a cluster inventory is recomputed from its one artifact, and hides no unknown."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack.evidence import EvidenceError, EvidenceStore, FigureClass, SigningKey, StoredRecord
from stack.hardware_profiles.cluster.evidence import draft, recompute
from stack.hardware_profiles.cluster.inventory import ClusterInventory, ClusterNode, NodeAccelerator
from stack.hardware_profiles.inventory import Probe
from stack.proposal.recompute import recompute_for


def gpus(product: str | None, *, devices: int | None = 8, memory_gib: int | None = 80, partition: str | None = None) -> NodeAccelerator:
    return NodeAccelerator(
        resource="nvidia.com/gpu",
        source="device-plugin",
        vendor="NVIDIA",
        product=product,
        memory_bytes=None if memory_gib is None else memory_gib << 30,
        driver=None,
        partition=partition,
        devices=devices,
        capacity=devices or 56,
        allocatable=devices,
        described_by="labels",
    )


def cluster(*accelerators: NodeAccelerator) -> ClusterInventory:
    nodes = tuple(
        ClusterNode(name=f"n{place}", ready=place > 0, cpus=96, memory_bytes=1 << 40, accelerators=(each,)) for place, each in enumerate(accelerators)
    )
    probes = (Probe(name="version", ok=False, reason="not allowed"),)
    return ClusterInventory(cluster="hmac:0", version=None, nodes=nodes, kinds=(), probes=probes)


@pytest.fixture
def stored(tmp_path: Path) -> StoredRecord:
    key = SigningKey(Ed25519PrivateKey.generate())
    found = cluster(gpus("H100"), gpus("H100"), gpus("L4", devices=4, memory_gib=24))
    return EvidenceStore(tmp_path, key=lambda: key).write(*draft(found, identifiers=False))


def test_figures_recomputed_from_the_artifact_equal_the_recorded_ones(stored: StoredRecord) -> None:
    assert tuple(recompute(stored)) == stored.record.figures
    assert recompute_for(stored.record.kind) is recompute


def test_figures_count_nodes_accelerators_and_memory(stored: StoredRecord) -> None:
    values = {figure.name: figure.value for figure in stored.record.figures}
    assert (values["nodes.count"], values["nodes.ready"], values["accelerators.count"]) == (3, 2, 20)
    assert values["accelerators.memory_gib"] == 16 * 80 + 4 * 24
    assert values["memory.total_gib"] == 3 * 1024
    assert (values["accelerators.product_1"], values["accelerators.product_2"]) == ("16 x H100", "4 x L4")
    assert stored.record.results["accelerators"] == {"H100": 16, "L4": 4}


def test_what_was_read_is_measured_and_what_was_summed_is_computed(stored: StoredRecord) -> None:
    classes = {figure.name: figure.kind for figure in stored.record.figures}
    assert classes["nodes.count"] is FigureClass.MEASURED
    assert classes["accelerators.memory_gib"] is FigureClass.COMPUTED


def test_an_unknown_figure_says_why(stored: StoredRecord) -> None:
    assert {figure.name: figure.note for figure in stored.record.figures if figure.value is None} == {"cluster.version": "not allowed"}


def test_memory_with_one_unknown_part_is_unknown() -> None:
    record, _ = draft(cluster(gpus("H100"), gpus(None, memory_gib=None)), identifiers=False)
    (memory,) = [figure for figure in record.figures if figure.name == "accelerators.memory_gib"]
    assert (memory.value, bool(memory.note)) == (None, True)


def test_nodes_that_offer_only_parts_make_the_count_unknown_instead_of_zero() -> None:
    record, _ = draft(cluster(gpus("A100", devices=None, partition="mig-1g.5gb")), identifiers=False)
    values = {figure.name: (figure.value, figure.note) for figure in record.figures}
    assert values["accelerators.count"] == (None, "1 nodes offer only parts, whose devices are not counted")
    assert values["accelerators.memory_gib"] == (None, "no whole device is listed")


def test_an_artifact_that_is_no_inventory_is_named(stored: StoredRecord) -> None:
    path = stored.artifact_path("cluster-inventory.json")
    changed = json.loads(path.read_bytes())
    changed["nodes"][0]["cpus"] = "many"
    path.write_text(json.dumps(changed))
    with pytest.raises(EvidenceError, match=r"cluster-inventory\.json: field `nodes\.0\.cpus`"):
        recompute(stored)
