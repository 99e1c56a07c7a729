"""The evidence record of an inventory, and its recomputation."""

from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from stack.evidence import ArtifactSource, EvidenceError, Figure, FigureClass, RecordDraft, StoredRecord
from stack.hardware_profiles.inventory import Inventory
from stack.hardware_profiles.marks import declared_paths
from stack.runtime.errors import describe_validation

KIND = "inventory"
ARTIFACT = "inventory.json"
GIB = 1 << 30
GB = 10**9

Value = float | int | str | bool | None


def draft(inventory: Inventory, *, identifiers: bool) -> tuple[RecordDraft, list[ArtifactSource]]:
    """What `EvidenceStore.write` takes."""
    record = RecordDraft(
        kind=KIND,
        title="What is in the machine",
        config={"identifiers": "shown" if identifiers else "hashed"},
        figures=tuple(figures(inventory)),
        results={"unknown": {probe.name: probe.reason for probe in inventory.failures}},
    )
    content = inventory.model_dump_json(indent=2).encode()
    return record, [ArtifactSource(ARTIFACT, content, role="inventory", media_type="application/json")]


def recompute(stored: StoredRecord) -> list[Figure]:
    """All figures of the record, worked out from the stored inventory alone."""
    path = stored.artifact_path(ARTIFACT)
    try:
        return figures(Inventory.model_validate_json(path.read_bytes()))
    except ValidationError as error:
        raise EvidenceError(describe_validation(error, source=str(path.relative_to(stored.root)))) from None


def figures(inventory: Inventory) -> list[Figure]:
    """What the machine said of itself is measured, what people said of it declared; unknown ones carry the probe's reason."""
    cpu, memory, host, software = inventory.cpu, inventory.memory, inventory.host, inventory.software
    interfaces = [each for each in inventory.network if not each.virtual]
    gpus = inventory.accelerators
    # The bus counts what has no driver, so that it alone decides whether "none" is known.
    gpu_count = len(gpus) or _count(inventory, "accelerators.pci", 0)
    gpu_models = ", ".join(sorted({gpu.name for gpu in gpus if gpu.name})) or ("none" if gpu_count == 0 else None)

    declared = declared_paths(inventory)

    def figure(name: str, value: Value, *, unit: str = "", probe: str = "", parts: Sequence[str] = ()) -> Figure:
        """`parts`: the paths of the values that a sum or a list is made of."""
        note = "" if value is not None else inventory.reason(probe or name) or "could not be read"
        kind = FigureClass.DECLARED if declared.intersection((name, probe, *parts)) else FigureClass.MEASURED
        return Figure(name=name, value=value, unit=unit, kind=kind, derived_from=(ARTIFACT,), note=note)

    sizes = [f"storage.{disk.device}.size_bytes" for disk in inventory.storage]
    speeds = [f"network.{each.name}.speed_mbit_s" for each in interfaces]
    names, memories = ([f"accelerators.{gpu.index}.{field}" for gpu in gpus] for field in ("name", "memory_bytes"))

    return [
        figure("cpu.model", cpu.model),
        figure("cpu.sockets", cpu.sockets),
        figure("cpu.physical_cores", cpu.physical_cores),
        figure("cpu.logical_cores", cpu.logical_cores),
        figure("cpu.instruction_sets", " ".join(cpu.isa) or None, probe="cpu.isa"),
        figure("memory.total_gib", _scaled(memory.total_bytes, GIB), unit="GiBy", probe="memory.total_bytes"),
        figure("storage.devices", _count(inventory, "storage", len(inventory.storage)), probe="storage"),
        figure("storage.total_gb", _scaled(_total(disk.size_bytes for disk in inventory.storage), GB), unit="GBy", probe="storage", parts=sizes),
        figure("network.interfaces", _count(inventory, "network", len(interfaces)), probe="network"),
        figure(
            "network.fastest_mbit_s",
            max((each.speed_mbit_s for each in interfaces if each.speed_mbit_s is not None), default=None),
            unit="Mbit/s",
            parts=speeds,
        ),
        figure("host.vendor", host.vendor),
        figure("host.product", host.product),
        figure("host.virtualization", host.virtualization),
        figure("software.operating_system", software.operating_system),
        figure("software.kernel", software.kernel),
        *(
            figure(f"software.{each.name}", each.version, probe=f"software.packages.{each.name}", parts=[f"software.packages.{each.name}.version"])
            for each in software.packages
        ),
        figure("accelerators.count", gpu_count, probe="accelerators.pci"),
        figure("accelerators.models", gpu_models, probe="accelerators.pci", parts=names),
        figure("accelerators.memory_gib", _scaled(_total(gpu.memory_bytes for gpu in gpus), GIB), unit="GiBy", probe="accelerators.nvml", parts=memories),
        *(figure(f"system.{name}", value) for name, value in inventory.system if value is not None),
    ]


def _scaled(size: int | None, unit: int) -> float | None:
    return None if size is None else round(size / unit, 2)


def _total(sizes: Iterable[int | None]) -> int | None:
    """A sum with an unknown part, or of nothing, is unknown."""
    known = list(sizes)
    return sum(size for size in known if size is not None) if known and None not in known else None


def _count(inventory: Inventory, probe: str, found: int) -> int | None:
    return None if inventory.reason(probe) else found
