"""What is counted of a dataset while it streams by: counters that merge, whatever the order and the cut into shards (pure).

Memory grows with the number of different labels, languages and labelers, never with the records: a label here is a class, not
free text. Equal records give an equal `as_json`, byte for byte.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Self

import pyarrow as pa

from stack.pipelines.base import Dropped
from stack.pipelines.errors import PipelineError
from stack.pipelines.trail.described import LengthBin, ReliabilityBin, length_bin, log_bins

FORMAT = "stackproof/tally/1"

GOLD, OUTCOME = "gold", "label"
"""Columns with the human and with the final label; they stand beside the labelers' names as annotators."""

CONFIDENCE_BINS = 10
MILLION = 1_000_000
"""Probabilities are added up in whole millionths: sums of floats would depend on the order."""

Columns = Mapping[str, Sequence[Any]]
"""Or a table, whose columns are asked for in the same way."""


@dataclass
class Tally:
    """Counts of the kept records, and of the dropped ones by stage and reason.

    `outcomes`: (language, gold, label), empty where not given. `votes`: (labeler, what became of it: voted, abstained or failed).
    `pairs`: (annotator, annotator, vote, vote) where both voted. `units`: all labelers' votes of a record, sorted, where there are two.
    `confidence`: by bin of the label's probability (records, right ones, sum in millionths), where there is a human label.
    """

    labelers: tuple[str, ...] = ()
    records: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    votes: Counter[tuple[str, str]] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    units: Counter[tuple[str, ...]] = field(default_factory=Counter)
    confidence: Counter[tuple[int, str]] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, columns: Columns | pa.Table) -> None:
        """Count finished records: `Batch.columns` or a table. Of text, source, language, gold, label, probability, split and each labeler's
        NAME_label and NAME_error what is there; `text` or `record_id` must be."""
        given = _Given.of(columns)
        self.records += given.rows
        self.lengths.update(_bins(given["text"]))
        for name, counter in (("source", self.sources), ("split", self.splits)):
            if name in given:
                counter.update(_words(given[name]))
        gold, label = _words(given[GOLD]), _words(given[OUTCOME])
        self.outcomes.update(zip(_words(given["language"]), gold, label, strict=True))
        cast = {name: _words(given[f"{name}_label"]) for name in self.labelers}
        for name, given_votes in cast.items():
            self._count_votes(name, given_votes, _words(given[f"{name}_error"]))
        annotators = {**cast, OUTCOME: label, GOLD: gold}
        for a, b in combinations(annotators, 2):
            both = Counter(zip(annotators[a], annotators[b], strict=True))
            self.pairs.update({(a, b, *votes): count for votes, count in both.items() if all(votes)})
        for pattern, count in Counter(zip(*cast.values(), strict=True)).items():
            unit = tuple(sorted(filter(None, pattern)))
            if len(unit) > 1:
                self.units[unit] += count
        self._count_confidence(given["probability"], gold, label)

    def drop(self, dropped: Iterable[Dropped]) -> None:
        """Count records that were left out."""
        self.dropped.update((each.stage, each.reason) for each in dropped)

    def merge(self, other: Self) -> None:
        """Add what another has counted. PipelineError when it watched other labelers."""
        if self.labelers != other.labelers:
            raise PipelineError(f"tallies of different labelers cannot be merged: {', '.join(self.labelers)} and {', '.join(other.labelers)}")
        self.records += other.records
        for name in COUNTERS:
            getattr(self, name).update(getattr(other, name))

    def as_json(self) -> dict[str, Any]:
        """Plain and sorted."""
        counters = {name: [[_plain(key), count] for key, count in sorted(getattr(self, name).items())] for name in COUNTERS}
        return {"format": FORMAT, "labelers": list(self.labelers), "records": self.records, **counters}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """PipelineError when it is none."""
        try:
            if body["format"] != FORMAT:
                raise ValueError(f"format {body['format']}, expected {FORMAT}")
            made = cls(labelers=tuple(body["labelers"]), records=int(body["records"]))
            for name in COUNTERS:
                getattr(made, name).update({tuple(key) if isinstance(key, list) else key: int(count) for key, count in body[name]})
            return made
        except (KeyError, TypeError, ValueError) as error:
            raise PipelineError(f"tally cannot be read ({error}): count the shards again") from None

    @property
    def languages(self) -> dict[str, int]:
        """Records by language, most first; the empty string where none is known."""
        return _ranked(self._by(0))

    @property
    def label_balance(self) -> dict[str, int]:
        return _ranked(self._by(2))

    @property
    def gold_balance(self) -> dict[str, int]:
        """Empty where there is no human label at all."""
        balance = _ranked(self._by(1))
        return balance if set(balance) - {""} else {}

    @property
    def length_bins(self) -> list[LengthBin]:
        return log_bins(self.lengths)

    @property
    def reliability(self) -> list[ReliabilityBin]:
        """Bins of the label's probability that have records, each at its mean probability."""
        found = []
        for place in range(CONFIDENCE_BINS):
            records = self.confidence[place, "records"]
            if records:
                mean = self.confidence[place, "millionths"] / MILLION / records
                found.append(ReliabilityBin(mean, self.confidence[place, "right"] / records, records))
        return found

    @property
    def confusion(self) -> dict[tuple[str, str], int]:
        """Records by (gold, label), where both are given."""
        cells: Counter[tuple[str, str]] = Counter()
        for (_, gold, label), count in self.outcomes.items():
            if gold and label:
                cells[gold, label] += count
        return dict(sorted(cells.items()))

    def votes_of(self, a: str, b: str) -> dict[tuple[str, str], int]:
        """Records by the votes of two annotators (labelers' names, `label`, `gold`) that both voted, `a` named before `b`."""
        return {(vote, other): count for (first, second, vote, other), count in sorted(self.pairs.items()) if (first, second) == (a, b)}

    def in_language(self, language: str) -> dict[tuple[str, str], int]:
        """Records of one language by (label, gold), where both are given."""
        return {(label, gold): count for (code, gold, label), count in sorted(self.outcomes.items()) if code == language and gold and label}

    def _by(self, place: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for key, count in self.outcomes.items():
            found[key[place]] += count
        return found

    def _count_votes(self, name: str, votes: Sequence[str], errors: Sequence[str]) -> None:
        for (vote, error), count in Counter(zip(map(bool, votes), map(bool, errors), strict=True)).items():
            self.votes[name, "voted" if vote else "failed" if error else "abstained"] += count

    def _count_confidence(self, probabilities: Sequence[float | None], gold: Sequence[str], label: Sequence[str]) -> None:
        for probability, truth, said in zip(probabilities, gold, label, strict=True):
            if probability is not None and truth and said:
                place = min(int(probability * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)
                self.confidence[place, "records"] += 1
                self.confidence[place, "right"] += truth == said
                self.confidence[place, "millionths"] += round(probability * MILLION)


COUNTERS = ("sources", "splits", "outcomes", "lengths", "votes", "pairs", "units", "confidence", "dropped")


@dataclass(frozen=True)
class _Given:
    """Columns as lists; one that is not there is all None."""

    columns: Any
    names: frozenset[str]
    rows: int

    @classmethod
    def of(cls, columns: Any) -> "_Given":
        names = frozenset(columns.column_names if isinstance(columns, pa.Table) else columns)
        known = next((name for name in ("record_id", "text") if name in names), None)
        if known is None:
            raise PipelineError("tally: the records have neither `record_id` nor `text`: give the columns of finished records")
        return cls(columns, names, len(columns[known]))

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Sequence[Any]:
        if name not in self.names:
            return [None] * self.rows
        values: Sequence[Any] = self.columns[name].to_pylist() if isinstance(self.columns, pa.Table) else self.columns[name]
        return values


def _words(values: Sequence[str | None]) -> list[str]:
    return [value or "" for value in values]


def _bins(texts: Sequence[str | None]) -> Counter[int]:
    """Records by the lower edge of their text's bin, in characters; texts that are not there are not counted."""
    found: Counter[int] = Counter()
    for length, count in Counter(len(text) for text in texts if text is not None).items():
        found[length_bin(length)] += count
    return found


def _ranked(counts: Counter[str]) -> dict[str, int]:
    """Most first, equals by name, what has no name last: the order does not tell in which order shards came."""
    return dict(sorted(counts.items(), key=lambda item: (item[0] == "", -item[1], item[0])))


def _plain(key: object) -> object:
    return list(key) if isinstance(key, tuple) else key
