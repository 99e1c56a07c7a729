"""What the paper trail is told of a finished dataset: plain data, no clock, so that the same dataset gives the same documents.

Empty text and None mean "not stated" and are written so, or left out; nothing is made up in their place.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True)
class SourceFile:
    """One file that was read. `licence` is an SPDX identifier where there is one; `columns` says which of its fields became which column."""

    name: str
    file: str
    sha256: str
    records: int
    licence: str = ""
    origin: str = ""
    credit: str = ""
    consent: str = ""
    language: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StageRun:
    """One stage, in the order of the pipeline; `dropped` is records by reason."""

    kind: str
    digest: str
    version: int
    words: str
    records_in: int
    records_out: int
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class WrittenFile:
    """One output. `records` is set for a file that holds the dataset's records in its columns, and for no other."""

    name: str
    sha256: str
    size_bytes: int
    media_type: str
    records: int | None = None


@dataclass(frozen=True)
class LabelerRun:
    """Who labeled: `digest` is that of the prompt, lexicon or rule; `model` is None where no model is asked."""

    name: str
    kind: str
    model: str | None
    digest: str


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; None where it cannot be told."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class LengthBin:
    """Texts of `low` up to, not including, `high` characters."""

    low: int
    high: int
    records: int


@dataclass(frozen=True)
class ReliabilityBin:
    """Records whose label had about this probability, and the share of them that agreed with the human label."""

    probability: float
    share_right: float
    records: int


@dataclass(frozen=True)
class Statements:
    """What only the pipeline's author can say; shown as declared."""

    purpose: str = ""
    creators: Sequence[str] = ()
    funded_by: str = ""
    collected_how: str = ""
    personal_data: str = ""
    uses: str = ""
    limits: str = ""
    distribution: str = ""
    maintained_by: str = ""


@dataclass(frozen=True)
class Described:
    """A finished dataset. `published` is a declared date (YYYY-MM-DD); maps from names keep the order in which they are given.

    `label_balance` and `gold_balance` count records by label, the empty string for records without one. `confusion` counts records
    by (gold, label). `votes` says of each labeler how often it `voted`, `abstained` and `failed`. `kappa` is Cohen's by pair of
    annotators, who are labelers, `label` (the final one) and `gold` (people's); `agreement` is what is told of all together.
    """

    name: str
    title: str
    version: str
    description: str
    sources: Sequence[SourceFile]
    stages: Sequence[StageRun]
    files: Sequence[WrittenFile]
    columns: Mapping[str, str]
    read: int
    labeled: int
    quarantined: int = 0
    languages: Mapping[str, int] = field(default_factory=dict)
    lengths: Sequence[LengthBin] = ()
    label_balance: Mapping[str, int] = field(default_factory=dict)
    gold_balance: Mapping[str, int] = field(default_factory=dict)
    labelers: Sequence[LabelerRun] = ()
    votes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    agreement: Mapping[str, Interval] = field(default_factory=dict)
    kappa: Mapping[tuple[str, str], Interval] = field(default_factory=dict)
    accuracy: Mapping[str, Interval] = field(default_factory=dict)
    accuracy_by_language: Mapping[str, Interval] = field(default_factory=dict)
    confusion: Mapping[tuple[str, str], int] = field(default_factory=dict)
    reliability: Sequence[ReliabilityBin] = ()
    splits: Mapping[str, int] = field(default_factory=dict)
    command: str = ""
    url: str = ""
    published: str = ""
    statements: Statements = field(default_factory=Statements)

    @property
    def licences(self) -> list[str]:
        """Of all sources, each once."""
        return sorted({source.licence for source in self.sources if source.licence})

    @property
    def data_files(self) -> list[WrittenFile]:
        """The files with the dataset's records."""
        return [file for file in self.files if file.records is not None]

    @property
    def unaccounted(self) -> int:
        """Records that were read and are neither in the dataset, nor dropped, nor in quarantine: 0 in a whole run."""
        return self.read - self.labeled - self.dropped - self.quarantined

    @property
    def dropped(self) -> int:
        return sum(sum(stage.dropped.values()) for stage in self.stages)


PER_DECADE = 4
EDGES = sorted({0, 1, *(round(10 ** (step / PER_DECADE)) for step in range(PER_DECADE * 10))})
"""Bins of text lengths: empty, then of equal ratio as far as whole numbers allow."""


def length_bin(length: int) -> int:
    """The lower edge of the bin that holds a length."""
    return EDGES[bisect_right(EDGES, length) - 1]


def log_bins(lengths: Mapping[int, int]) -> list[LengthBin]:
    """A histogram of text lengths (characters to records; lower edges of bins do as well); empty bins inside it stay, none outside."""
    counts = Counter[int]()
    for length, records in lengths.items():
        counts[length_bin(length)] += records
    bins = [LengthBin(low, high, counts[low]) for low, high in pairwise(EDGES)]
    filled = [place for place, each in enumerate(bins) if each.records]
    return bins[filled[0] : filled[-1] + 1] if filled else []
