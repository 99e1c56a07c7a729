"""Peak matrix rate of a processor from its instruction sets (pure)."""

from dataclasses import dataclass

from stack.hardware_profiles.inventory import Cpu

# Operations a cycle of one unit: a fused multiply-add counts two per lane. 512-bit units hold 16 lanes of fp32; dot-product
# instructions sum two (bf16) or four (int8) products per fp32 or int32 lane. An AMX unit multiplies a 16 x 32 by a 32 x 16 tile
# of bf16 in 16 cycles: 2 x 16 x 16 x 32 / 16 = 1024 (the 16 cycles are general knowledge, not checked against Intel's manual).
AMX_UNITS = 1
VECTOR_UNITS = 2
RATES: dict[str, tuple[tuple[str, int, int], ...]] = {
    "fp64": (("avx512f", 16, VECTOR_UNITS), ("fma", 8, VECTOR_UNITS)),
    "fp32": (("avx512f", 32, VECTOR_UNITS), ("fma", 16, VECTOR_UNITS)),
    "bf16": (("amx_bf16", 1024, AMX_UNITS), ("avx512_bf16", 64, VECTOR_UNITS)),
    "fp16": (("amx_fp16", 1024, AMX_UNITS), ("avx512_fp16", 64, VECTOR_UNITS)),
    "int8": (("amx_int8", 2048, AMX_UNITS), ("avx512_vnni", 128, VECTOR_UNITS), ("avx_vnni", 64, VECTOR_UNITS)),
}
"""By data type, widest first: instruction set, operations a cycle and unit, units per core."""


@dataclass(frozen=True)
class CpuPeak:
    """Of the class computed. `operations_per_s` None means unknown; `note` then gives the reason, else the assumptions."""

    operations_per_s: float | None
    note: str


def cpu_peak(cpu: Cpu, dtype: str, clock_hz: float | None) -> CpuPeak:
    """Operations a second of the cores this process may use: cores x units x operations a cycle x clock.

    `clock_hz` is the clock that the cores hold under this load, which wide instructions and heat may lower.
    """
    if cpu.architecture not in {"x86_64", "AMD64"}:
        return CpuPeak(None, f"{cpu.architecture}: vector length and number of units are not told by its instruction sets")
    if clock_hz is None:
        return CpuPeak(None, "its clock under load is unknown")
    cores = min((float(count) for count in (cpu.physical_cores, cpu.usable_cores) if count is not None), default=None)
    if cores is None:
        return CpuPeak(None, "its number of cores is unknown")
    found = next((rate for rate in RATES.get(dtype, ()) if rate[0] in cpu.isa), None)
    if found is None:
        return CpuPeak(None, f"it has no {dtype} multiply-add instruction: the operation is emulated in another type")
    flag, operations, units = found
    assumed = "one AMX unit per core" if units == AMX_UNITS else f"{units} full-width multiply-add units per core, the most any x86 core has; some have half"
    return CpuPeak(cores * units * operations * clock_hz, f"computed: {cores:g} cores x {units} x {operations} operations a cycle ({flag}); assumes {assumed}")
