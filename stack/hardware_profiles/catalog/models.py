"""What an accelerator is on paper (models; no I/O).

Every figure names its source and how far it can be trusted. Of the class `published`, all of them; none is measured here.
Arithmetic stays decimal: thresholds of export control are decided in the fourth digit.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from stack.evidence.record import Frozen

NAME_PATTERN = r"^[a-z0-9][a-z0-9.-]{0,62}$"


class DataType(StrEnum):
    """Of the operands of a matrix multiplication; accumulation may be wider."""

    FP64 = "fp64"
    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    INT8 = "int8"
    FP6 = "fp6"
    FP4 = "fp4"


def _decimal(value: object) -> Decimal:
    """A number as it was written. YAML gives floats, whose shortest decimal text is what the file says."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("must be a number")
    return Decimal(str(value))


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


Number = Annotated[Decimal, BeforeValidator(_decimal), Field(gt=0, lt=10**9), PlainSerializer(_plain, return_type=int | float, when_used="json")]


class Sourced(Frozen):
    """What stands behind a value.

    `published`: read in the named document. `unverified`: general knowledge or an unnamed second hand, not checked against its
    maker's page. `unknown`: no value, and `note` says why.
    """

    status: Literal["published", "unverified", "unknown"]
    source: str = Field(default="", description="Document and place; its commit or date where it has one")
    note: str = ""


class Published(Sourced):
    """A figure; its unit belongs to the field. `low` and `high` enclose `value` where sources disagree."""

    value: Number | None = None
    low: Number | None = None
    high: Number | None = None

    @property
    def lowest(self) -> Decimal | None:
        return self.value if self.low is None else self.low

    @property
    def highest(self) -> Decimal | None:
        return self.value if self.high is None else self.high


class Power(Published):
    """W. Vendors' terms differ in scope (TDP, TGP, TBP, maximum), so figures of different terms do not compare."""

    term: str | None = Field(default=None, description="The vendor's own word; None when no source read gives it")


class Stated(Sourced):
    """A word or a date."""

    value: str | None = None


class Interconnect(Frozen):
    """The widest path to other accelerators."""

    name: str
    bandwidth: Published = Field(description="GB/s per device, both directions together")


class UnusualRatio(Frozen):
    """A rate that stands to its base in another ratio than the usual one, and rightly so."""

    ratio: Number
    why: str = Field(min_length=1)


class AchievedGemm(Frozen):
    """What somebody measured on large dense matrix multiplications: published here, not measured by us."""

    dtype: DataType
    achieved: Number = Field(description="TFLOP/s")
    of: Number = Field(description="TFLOP/s: the peak its source divides by")
    source: str = Field(min_length=1)
    note: str = ""


class Entry(Frozen):
    """One accelerator as it is sold. All figures are of one unit (`kind`), dense, at the maximum clock."""

    name: str = Field(pattern=NAME_PATTERN)
    title: str = Field(min_length=1)
    vendor: str = Field(min_length=1)
    kind: Literal["package", "card"]
    ics: int = Field(ge=1, description="Integrated circuits (packages) in the unit: export control counts each by itself")
    devices: int = Field(default=1, ge=1, description="Devices its driver shows for one unit")
    names: tuple[str, ...] = Field(default=(), description="Exact names by its library or by pci.ids; empty when none is sure")
    peaks: dict[DataType, Published] = Field(min_length=1, description="TFLOP/s, TOP/s for int8; a type is absent when the sources list no rate for it")
    unusual_ratios: dict[DataType, UnusualRatio] = Field(default_factory=dict)
    memory: Published = Field(description="GB as the vendor labels it, which is often GiB")
    memory_kind: Stated
    memory_bandwidth: Published = Field(description="GB/s, decimal")
    power: Power
    interconnect: Interconnect
    process: Stated
    launch: Stated = Field(description="Month or day of announcement, as in 2022-03")
    die_area: Published = Field(description="mm2 of all logic dies of one IC")
    design_country: Stated = Field(description="ISO 3166-1 alpha-2")
    fabrication_country: Stated = Field(description="ISO 3166-1 alpha-2")
    achieved_gemm: tuple[AchievedGemm, ...] = ()

    @property
    def family(self) -> str:
        """The part of `name` that variants share, as in h100: the first with a digit."""
        return next((part for part in self.name.split("-") if any(map(str.isdigit, part))), self.name)

    def peak(self, dtype: str) -> Published | None:
        """Dense peak of the unit in TFLOP/s (TOP/s for int8); None when no rate is known."""
        found = self.peaks.get(DataType(dtype)) if dtype in set(DataType) else None
        return found if found is not None and found.value is not None else None

    def peak_per_device(self, dtype: str) -> Decimal | None:
        """TFLOP/s (TOP/s) of one device as its driver shows it: half a unit of two."""
        found = self.peak(dtype)
        return None if found is None or found.value is None else found.value / self.devices

    @property
    def bandwidth_per_device(self) -> Decimal | None:
        """GB/s of memory of one device as its driver shows it."""
        return None if self.memory_bandwidth.value is None else self.memory_bandwidth.value / self.devices

    def expected_share(self, dtype: str) -> Decimal | None:
        """Share of `peak(dtype)` that others reached on large matrices, 0 to 1; None when nobody is known to have measured.

        A typical value of one software version, not a bound. It divides by this catalog's peak, which a source may round
        or, as for Gaudi 3, take at another clock.
        """
        peak = self.peak(dtype)
        best = max((run.achieved for run in self.achieved_gemm if run.dtype == dtype), default=None)
        return None if best is None or peak is None or peak.value is None else best / peak.value

    def figures(self) -> dict[str, Published]:
        """Every number of the entry by its dotted field."""
        return {
            **{f"peaks.{dtype}": figure for dtype, figure in self.peaks.items()},
            "memory": self.memory,
            "memory_bandwidth": self.memory_bandwidth,
            "power": self.power,
            "interconnect.bandwidth": self.interconnect.bandwidth,
            "die_area": self.die_area,
        }

    def statements(self) -> dict[str, Stated]:
        """Every word or date of the entry by its field."""
        fields = ("memory_kind", "process", "launch", "design_country", "fabrication_country")
        return {field: getattr(self, field) for field in fields}


def unit_of(field: str) -> str:
    """Unit of a field that `Entry.figures` names."""
    if field.startswith("peaks."):
        return "TOP/s" if field.endswith(DataType.INT8) else "TFLOP/s"
    return {"memory": "GB", "power": "W", "die_area": "mm2"}.get(field, "GB/s")
