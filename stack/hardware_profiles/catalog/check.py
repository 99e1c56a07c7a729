"""What cannot be right in a catalog entry (pure).

By the ratios of its own figures only, which works for an accelerator nobody has catalogued; `compare` finds more where one is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from stack.hardware_profiles.catalog.models import DataType, Entry, Published, Stated, unit_of


@dataclass(frozen=True)
class Finding:
    """One thing wrong, in three words for a line: where, what was found, what is likely."""

    field: str
    found: str
    likely: str

    def __str__(self) -> str:
        return f"{self.field}: {self.found}: {self.likely}"


HALF, ONE, TWO, THOUSAND = Decimal("0.5"), Decimal(1), Decimal(2), Decimal(1000)
USUAL_RATIOS: tuple[tuple[DataType, tuple[DataType, ...], Decimal], ...] = (
    (DataType.FP16, (DataType.BF16,), ONE),
    (DataType.TF32, (DataType.BF16, DataType.FP16), HALF),
    (DataType.FP8, (DataType.BF16, DataType.FP16), TWO),
    (DataType.INT8, (DataType.BF16, DataType.FP16), TWO),
    (DataType.FP6, (DataType.FP8,), ONE),
    (DataType.FP4, (DataType.FP8,), TWO),
)
"""A type, its base (the first that is known), and the ratio of their rates: halving the bits doubles the rate, but for fp6, which rides on fp8."""
RATIO_TOLERANCE = Decimal("0.03")
"""Vendors round: L40S 733/362 is 2.025, Trainium2 1299/667 is 1.948."""

STACK_GB_S = {"HBM2": 307, "HBM2e": 461, "HBM3": 819, "HBM3e": 1229, "HBM4": 2048}
MOST_STACKS = 8
BUS_GB_S = {
    "GDDR6": 960,  # 384 bits at 20 Gbit/s
    "GDDR7": 2048,  # 512 bits at 32 Gbit/s
    "LPDDR4X": 546,  # 1024 bits at 4.266 Gbit/s
    "DDR5": 845,  # 12 channels of 64 bits at 8.8 Gbit/s
}
"""Fastest grade of each kind on the widest bus of an accelerator; HBM rates are those of the standards, per stack of 1024 bits (HBM4: 2048)."""
BANDWIDTH_TOLERANCE = Decimal("1.02")

# Ranges that no accelerator of the last ten years leaves by a factor below 2, and every slip between kilo, mega, giga and tera does.
PLAUSIBLE: dict[str, tuple[Decimal, Decimal, str, str]] = {
    "peaks.": (Decimal("0.1"), Decimal(100_000), "PFLOP/s given as TFLOP/s", "GFLOP/s given as TFLOP/s"),
    "memory": (Decimal(4), Decimal(2000), "TB given as GB", "MB or MiB given as GB"),
    "memory_bandwidth": (Decimal(50), Decimal(50_000), "TB/s given as GB/s", "MB/s given as GB/s"),
    "power": (Decimal(25), Decimal(3000), "kW given as W", "power of a node, or mW given as W"),
    "interconnect.bandwidth": (Decimal(10), Decimal(10_000), "TB/s given as GB/s", "Gbit/s given as GB/s"),
    "die_area": (Decimal(50), Decimal(50_000), "cm2 given as mm2", "um2 given as mm2"),
}
MATRIX_TFLOPS = Decimal(10)
"""Below this a 16-bit matrix rate of a data-centre part is a rate in PFLOP/s."""
TFLOPS_PER_W = (Decimal("0.1"), Decimal(5))
"""Dense 16-bit rate over power: 0.3 for a processor with AMX to 2.3 for the best accelerators of 2025."""


def check(entry: Entry, *, exceptions: Entry | None = None) -> list[Finding]:
    """Findings by the entry's own figures. `exceptions`: the entry whose unusual ratios are believed (default: its own)."""
    return [*_sources(entry), *_units(entry), *_ratios(entry, exceptions or entry), *_bandwidth(entry), *_power(entry)]


def _sources(entry: Entry) -> Iterator[Finding]:
    fields: dict[str, Published | Stated] = {**entry.figures(), **entry.statements()}
    for field, value in fields.items():
        if value.status == "unknown":
            if value.value is not None:
                yield Finding(field, f"status unknown beside the value {value.value}", "give its source and a status, or drop the value")
            if not value.note:
                yield Finding(field, "unknown without a reason", "say in `note` what was looked for")
            continue
        if value.value is None:
            yield Finding(field, f"status {value.status} without a value", "give the value, or status unknown with the reason in `note`")
        if not value.source:
            yield Finding(field, f"status {value.status} without a source", "name the document and the place in it")
        if isinstance(value, Published):
            yield from _order(field, value)


def _order(field: str, figure: Published) -> Iterator[Finding]:
    low, value, high = figure.lowest, figure.value, figure.highest
    if low is not None and value is not None and high is not None and not low <= value <= high:
        yield Finding(field, f"{value} lies outside its own range of {low} to {high}", "`low` and `high` must enclose the value")


def _units(entry: Entry) -> Iterator[Finding]:
    for field, figure in entry.figures().items():
        key = "peaks." if field.startswith("peaks.") else field
        low, high, below, above = PLAUSIBLE[key]
        if field in {"peaks.bf16", "peaks.fp16", "peaks.fp8", "peaks.int8", "peaks.fp4"}:
            low = MATRIX_TFLOPS
        if figure.value is not None and not low <= figure.value <= high:
            yield Finding(field, f"{figure.value} {unit_of(field)} is out of any accelerator's range", f"likely {below if figure.value < low else above}")


def _ratios(entry: Entry, exceptions: Entry) -> Iterator[Finding]:
    for dtype, bases, usual in USUAL_RATIOS:
        base = next((known for known in bases if known != dtype and entry.peak(known) is not None), None)
        rate, below = _value(entry, dtype), None if base is None else _value(entry, base)
        if base is None or rate is None or below is None:
            continue
        unusual = exceptions.unusual_ratios.get(dtype)
        expected = usual if unusual is None else unusual.ratio
        if abs(rate / below / expected - 1) > RATIO_TOLERANCE:
            found = f"{rate} is {_times(rate / below)} {base} ({below}), where {_times(expected)} is expected"
            yield Finding(f"peaks.{dtype}", found, _likely_of_ratio(rate / below / expected))
    for dtype in (DataType.FP64, DataType.FP32):
        rate, half = _value(entry, dtype), _value(entry, DataType.BF16)
        if rate is not None and half is not None and rate > half * (1 + RATIO_TOLERANCE):
            yield Finding(f"peaks.{dtype}", f"{rate} is above bf16 ({half})", "one of the two is another part's, or in another unit")


def _likely_of_ratio(off: Decimal) -> str:
    """Words for how far a ratio is from the expected one."""
    if near(off, TWO):
        return "likely a rate with structured sparsity given as dense"
    if near(off, HALF):
        return "likely half: a rate per die, or its base is the one with sparsity"
    if near(off, Decimal("0.25")):
        return "likely the vector rate, not the matrix rate"
    if near(off, THOUSAND) or near(off, 1 / THOUSAND):
        return "likely a slip between TFLOP/s and PFLOP/s"
    return "neither dense nor sparse: likely another part's figure, or an exception to declare in `unusual_ratios`"


def _bandwidth(entry: Entry) -> Iterator[Finding]:
    bandwidth, kind = entry.memory_bandwidth.value, entry.memory_kind.value
    if bandwidth is None or kind is None:
        return
    stack = STACK_GB_S.get(kind)
    most = BUS_GB_S.get(kind) if stack is None else stack * MOST_STACKS
    if most is None:
        yield Finding("memory_kind", f"{kind!r} is none that the check knows", f"write one of {', '.join((*STACK_GB_S, *BUS_GB_S))}")
    elif bandwidth > most * BANDWIDTH_TOLERANCE:
        yield Finding("memory_bandwidth", f"{bandwidth} GB/s is more than {kind} gives ({most})", "likely another part's figure, or the sum of several")


def _power(entry: Entry) -> Iterator[Finding]:
    rate = _value(entry, DataType.BF16) or _value(entry, DataType.FP16)
    power = entry.power.value
    if rate is None or power is None:
        return
    low, high = TFLOPS_PER_W
    if not low <= rate / power <= high:
        found = f"{power} W for {rate} TFLOP/s is {rate / power:.2g} TFLOP/s/W, where {low} to {high} is seen"
        yield Finding("power", found, "likely another part's, or in another unit")


def near(ratio: Decimal, to: Decimal) -> bool:
    """Whether two ratios are the same but for rounding."""
    return abs(ratio / to - 1) <= RATIO_TOLERANCE


def _value(entry: Entry, dtype: DataType) -> Decimal | None:
    found = entry.peak(dtype)
    return None if found is None else found.value


def _times(ratio: Decimal) -> str:
    return f"{ratio.normalize():.3g}x"
