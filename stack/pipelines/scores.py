"""How good the labels are, worked out from what was counted of a finished dataset (pure but for reading the file)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stack.pipelines.frames import UNIQUE
from stack.pipelines.statistics import LabelScore, Pairs, Proportion, accuracy, majority_class_share, per_label
from stack.pipelines.trail import Interval, Tally
from stack.pipelines.trail.counted import alpha, kappa

OUTCOME, GOLD = "label", "gold"
TOKENS = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True)
class Accuracy:
    """One annotator against the human labels, over the records where both gave one (`overall.total`)."""

    overall: Proportion
    by_label: Mapping[str, LabelScore]
    kappa: Interval


@dataclass(frozen=True)
class Statistics:
    """All that can be worked out from the records alone. `against_gold` also has the aggregated outcome, under `label`."""

    records: int
    failed: Mapping[str, int]
    abstained: Mapping[str, int]
    prompt_tokens: int
    completion_tokens: int
    majority_class: Proportion
    against_gold: Mapping[str, Accuracy]
    kappa: Mapping[tuple[str, str], Interval]
    alpha: Interval | None


@dataclass(frozen=True)
class Counted:
    """A finished file: its tally, its labels in their order, and the tokens that its votes cost."""

    tally: Tally
    labels: tuple[str, ...]
    prompt_tokens: int
    completion_tokens: int

    def statistics(self, *, with_gold: bool = True) -> Statistics:
        """Without `with_gold` nothing is said about accuracy."""
        tally, labelers = self.tally, self.tally.labelers
        against = {name: tally.votes_of(name, GOLD) for name in (*labelers, OUTCOME)} if with_gold else {}
        judged = {name: _accuracy(pairs, self.labels) for name, pairs in against.items()} if tally.gold_balance and labelers else {}
        return Statistics(
            records=tally.records,
            failed={name: tally.votes[name, "failed"] for name in labelers},
            abstained={name: tally.votes[name, "abstained"] for name in labelers},
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            majority_class=majority_class_share({label: count for label, count in tally.gold_balance.items() if label} if with_gold else {}),
            against_gold=judged,
            kappa={pair: kappa(tally.votes_of(*pair)) for pair in combinations(labelers, 2)},
            alpha=alpha(tally.units) if len(labelers) > 1 else None,
        )


class Counting:
    """Counts finished records table by table; `schema` is the file's, whose metadata name labels and labelers."""

    def __init__(self, schema: pa.Schema) -> None:
        metadata = schema.metadata or {}
        self._labels, labelers = (tuple(filter(None, metadata.get(name, b"").decode().split("\n"))) for name in (b"labels", b"labelers"))
        self._tally = Tally(labelers=labelers)
        self._tokens = dict.fromkeys(TOKENS, 0)
        self.columns = [name for name in schema.names if name == "text" or name not in UNIQUE]
        """What is looked at."""

    def add(self, table: pa.Table) -> None:
        self._tally.add(table)
        for what in TOKENS:
            self._tokens[what] += sum(pc.sum(table.column(f"{name}_{what}")).as_py() or 0 for name in self._tally.labelers)

    @property
    def counted(self) -> Counted:
        return Counted(self._tally, self._labels, self._tokens["prompt_tokens"], self._tokens["completion_tokens"])


def count_file(path: Path) -> Counted:
    """Count a labels.parquet, one row group at a time."""
    with pq.ParquetFile(path) as file:
        counting = Counting(file.schema_arrow)
        for group in range(file.num_row_groups):
            counting.add(file.read_row_group(group, columns=counting.columns))
    return counting.counted


def as_plain(statistics: Statistics) -> dict[str, Any]:
    """For JSON: pairs of labelers become `a/b`."""
    plain = asdict(replace(statistics, kappa={}))
    plain["kappa"] = {"/".join(pair): asdict(value) for pair, value in statistics.kappa.items()}
    return plain


def _accuracy(pairs: Pairs, labels: Sequence[str]) -> Accuracy:
    return Accuracy(accuracy(pairs), per_label(pairs, labels), kappa(pairs))
