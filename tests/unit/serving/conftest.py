from collections.abc import Callable
from typing import Any

import pytest

from stack.hardware_profiles import Accelerator, Cpu, Host, Inventory, Memory, Software

GIB = 1 << 30
MakeInventory = Callable[..., Inventory]


@pytest.fixture(scope="session")
def make_inventory() -> MakeInventory:
    """An inventory of a machine with the given cores, memory and accelerators; all else unknown."""

    def make(
        *, cores: int = 2, available_bytes: int | None = 20 * GIB, accelerators: tuple[Accelerator, ...] = (), isa: tuple[str, ...] = ("avx512_bf16",)
    ) -> Inventory:
        unknown: dict[str, Any] = dict.fromkeys(Host.model_fields)
        return Inventory(
            cpu=Cpu(
                model="A processor",
                architecture="x86_64",
                sockets=1,
                physical_cores=cores,
                logical_cores=2 * cores,
                allowed_cores=2 * cores,
                limit_cores=None,
                isa=isa,
                caches=(),
                numa_nodes=1,
                virtualized=None,
            ),
            memory=Memory(total_bytes=available_bytes, available_bytes=available_bytes, limit_bytes=None),
            storage=(),
            network=(),
            host=Host(**unknown),
            software=Software(operating_system=None, kernel=None, python="3.11", packages=()),
            accelerators=accelerators,
            probes=(),
        )

    return make


@pytest.fixture(scope="session")
def gpu() -> Accelerator:
    unknown: dict[str, Any] = dict.fromkeys(name for name, field in Accelerator.model_fields.items() if field.is_required())
    return Accelerator(**{**unknown, "index": 0, "vendor": "NVIDIA", "source": "nvml", "name": "A GPU", "memory_bytes": 80 * GIB})
