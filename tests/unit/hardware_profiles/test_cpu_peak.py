"""The computed peak of a processor."""

import pytest

from stack.hardware_profiles.catalog import cpu_peak
from stack.hardware_profiles.inventory import Cpu


def cpu(*isa: str, cores: int | None = 56, limit: float | None = None, architecture: str = "x86_64") -> Cpu:
    return Cpu(
        model=None,
        architecture=architecture,
        sockets=1,
        physical_cores=cores,
        logical_cores=None if cores is None else 2 * cores,
        allowed_cores=None if cores is None else 2 * cores,
        limit_cores=limit,
        isa=isa,
        caches=(),
        numa_nodes=1,
        virtualized=False,
    )


@pytest.mark.parametrize(
    ("isa", "dtype", "cycle_and_core"),
    [
        (("avx2", "fma"), "fp32", 32),
        (("avx2", "fma"), "fp64", 16),
        (("avx2", "fma", "avx512f"), "fp32", 64),
        (("avx512_bf16",), "bf16", 128),
        (("avx512_bf16", "amx_bf16"), "bf16", 1024),
        (("avx512_vnni",), "int8", 256),
        (("amx_int8",), "int8", 2048),
        (("avx512_fp16",), "fp16", 128),
    ],
)
def test_peak_is_cores_times_operations_of_the_widest_instruction_times_clock(isa: tuple[str, ...], dtype: str, cycle_and_core: int) -> None:
    found = cpu_peak(cpu(*isa), dtype, 2.0e9)
    assert found.operations_per_s == 56 * cycle_and_core * 2.0e9
    assert found.note.startswith("computed: 56 cores")
    assert "assumes" in found.note


def test_the_xeon_of_the_catalog_follows_from_the_formula() -> None:
    found = cpu_peak(cpu("amx_bf16"), "bf16", 2.0e9)
    assert found.operations_per_s == pytest.approx(114.7e12, rel=1e-3)


def test_only_cores_this_process_may_use_count() -> None:
    assert cpu_peak(cpu("fma", limit=4.5), "fp32", 1e9).operations_per_s == 4.5 * 32 * 1e9
    assert cpu_peak(cpu("fma", limit=200.0), "fp32", 1e9).operations_per_s == 56 * 32 * 1e9


@pytest.mark.parametrize(
    ("processor", "dtype", "clock", "reason"),
    [
        (cpu("fma"), "bf16", 1e9, "no bf16 multiply-add instruction"),
        (cpu("fma"), "fp4", 1e9, "no fp4 multiply-add instruction"),
        (cpu("fma"), "fp32", None, "clock under load is unknown"),
        (cpu("fma", cores=None), "fp32", 1e9, "number of cores is unknown"),
        (cpu("sve", "bf16", architecture="aarch64"), "bf16", 1e9, "aarch64: vector length"),
    ],
)
def test_a_peak_that_cannot_be_computed_is_unknown_with_the_reason(processor: Cpu, dtype: str, clock: float | None, reason: str) -> None:
    found = cpu_peak(processor, dtype, clock)
    assert found.operations_per_s is None
    assert reason in found.note
