"""What an inventory shows that is likely to cost performance, each with the mend (logic)."""

from collections.abc import Iterator

from stack.hardware_profiles.inventory import Accelerator, Inventory

LEAST_SHARED_BYTES = 1 << 30
"""Collectives between processes (NCCL, vLLM's workers) pass their buffers through /dev/shm; Docker gives it 64 MiB."""


def warnings_of(inventory: Inventory) -> tuple[str, ...]:
    """One line each, nothing about what is unknown; in the order: accelerators, then the host."""
    return tuple(_warnings(inventory))


def _warnings(inventory: Inventory) -> Iterator[str]:
    for accelerator in inventory.accelerators:
        yield from _pcie(accelerator)
        if accelerator.source == "nvml" and accelerator.name is None and accelerator.memory_bytes is None:
            reason = inventory.reason(f"accelerators.{accelerator.index}") or inventory.reason(f"accelerators.{accelerator.index}.name")
            yield f"accelerator {accelerator.index} does not answer ({reason}): look for XID errors in the kernel's log, then reset it or restart the machine"
        if accelerator.uncorrected_ecc_errors:
            yield (
                f"accelerator {accelerator.index}: {accelerator.uncorrected_ecc_errors} uncorrected memory errors since its driver was loaded: "
                "drain it, reset it, and have it replaced if they come back"
            )
    models = {_model(accelerator) for accelerator in inventory.accelerators if accelerator.name is not None}
    if len(models) > 1:
        yield f"accelerators differ ({', '.join(sorted(models))}): a job over all of them runs at the pace of the slowest; choose alike ones by index"
    shared = inventory.memory.shared_bytes
    if shared is not None and shared < LEAST_SHARED_BYTES and len(inventory.accelerators) > 1:
        yield (
            f"shared memory (/dev/shm) holds {shared >> 20} MiB with {len(inventory.accelerators)} accelerators: collectives may fail; "
            "give it 1 GiB or more (docker --shm-size, in Kubernetes an emptyDir with medium Memory)"
        )
    rdma = sorted(interface.name for interface in inventory.network if interface.rdma is not None)
    locked = inventory.memory.locked_limit_bytes
    if rdma and locked is not None:
        yield f"this process may lock {locked >> 10} KiB of memory, and {', '.join(rdma)} offers RDMA, which locks its buffers: set ulimit -l unlimited"


def _pcie(accelerator: Accelerator) -> Iterator[str]:
    port = accelerator.pcie
    if port is None:
        return
    if port.width is not None and port.max_width is not None and port.width < port.max_width:
        yield f"accelerator {accelerator.index}: PCIe x{port.width} of x{port.max_width}: check slot, riser and bifurcation"
    if port.generation is not None and port.max_generation is not None and port.generation < port.max_generation:
        yield (
            f"accelerator {accelerator.index}: PCIe generation {port.generation} of {port.max_generation}: an idle GPU lowers it to save power; "
            "if it stays so under load, check slot and firmware settings"
        )


def _model(accelerator: Accelerator) -> str:
    """Two boards of one name may differ in memory."""
    size = "" if accelerator.memory_bytes is None else f" {accelerator.memory_bytes / 2**30:.0f} GiB"
    return f"{accelerator.name}{size}"
