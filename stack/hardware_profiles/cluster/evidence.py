"""The evidence record of a cluster inventory, and its recomputation."""

from pydantic import ValidationError

from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord
from stack.hardware_profiles.cluster.inventory import ClusterInventory
from stack.hardware_profiles.cluster.kinds import device_memory, devices_by_product, total
from stack.runtime.errors import describe_validation

KIND = "cluster-inventory"
ARTIFACT = "cluster-inventory.json"
GIB = 1 << 30
LISTED = 20
"""Products that have a figure of their own; a cluster with more has the rest in its artifact."""

Value = float | int | str | None


def draft(inventory: ClusterInventory, *, identifiers: bool) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes."""
    record = RecordDraft(
        kind=KIND,
        title="What is in the cluster",
        config={"identifiers": "shown" if identifiers else "hashed"},
        figures=tuple(figures(inventory)),
        results={
            "accelerators": devices_by_product(inventory.nodes)[0],
            "unknown": {probe.name: probe.reason for probe in inventory.failures},
            "warnings": list(inventory.warnings),
        },
    )
    return record, [ArtifactSource(ARTIFACT, inventory.model_dump_json().encode(), role="inventory", media_type="application/json")]


def recompute(stored: StoredRecord) -> list[Figure]:
    """All figures of the record, worked out from the nodes of the stored inventory alone."""
    path = stored.artifact_path(ARTIFACT)
    try:
        return figures(ClusterInventory.model_validate_json(path.read_bytes()))
    except ValidationError as error:
        raise EvidenceError(describe_validation(error, source=str(path.relative_to(stored.root)))) from None


def figures(inventory: ClusterInventory) -> list[Figure]:
    """What the API server listed is measured; sums over nodes are computed from it."""
    nodes = inventory.nodes
    devices, uncounted = devices_by_product(nodes)
    parts_note = f"{len(uncounted)} nodes offer only parts, whose devices are not counted" if uncounted else ""
    seen = any(each.devices for node in nodes for each in node.accelerators)

    def figure(name: str, value: Value, *, kind: FigureClass = FigureClass.COMPUTED, unit: str = "", note: str = "") -> Figure:
        why = note or ("" if value is not None else "at least one node does not tell")
        return Figure(name=name, value=value, unit=unit, kind=kind, derived_from=(ARTIFACT,), note=why)

    return [
        figure("cluster.version", inventory.version, kind=FigureClass.MEASURED, note=inventory.reason("version")),
        figure("nodes.count", len(nodes), kind=FigureClass.MEASURED),
        figure("nodes.ready", sum(node.ready is True for node in nodes), kind=FigureClass.MEASURED),
        figure("nodes.with_accelerators", sum(bool(node.accelerators) for node in nodes)),
        figure("nodes.own_inventories", sum(node.own is not None for node in nodes)),
        figure("cpu.logical_cores", total(node.cpus for node in nodes)),
        figure("memory.total_gib", _gib(total(node.memory_bytes for node in nodes)), unit="GiBy"),
        figure("accelerators.count", sum(devices.values()) if devices or not uncounted else None, note=parts_note),
        figure("accelerators.memory_gib", _gib(device_memory(nodes)) if seen else None, unit="GiBy", note="" if seen else "no whole device is listed"),
        *(
            figure(f"accelerators.product_{place}", f"{count} x {product}")
            for place, (product, count) in enumerate(sorted(devices.items(), key=lambda item: (-item[1], item[0]))[:LISTED], start=1)
        ),
    ]


def _gib(size: float | None) -> float | None:
    return None if size is None else round(size / GIB, 2)
