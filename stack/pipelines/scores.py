"""How good the labels are, worked out from what was counted of a finished dataset (pure but for reading the file)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

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


def count_file(path: Path) -> Counted:
    """Count a labels.parquet, one row group at a time."""
    with pq.ParquetFile(path) as file:
        metadata = file.schema_arrow.metadata or {}
        labels, labelers = (tuple(filter(None, metadata.get(name, b"").decode().split("\n"))) for name in (b"labels", b"labelers"))
        tally = Tally(labelers=labelers)
        tokens = dict.fromkeys(TOKENS, 0)
        counted = [name for name in file.schema_arrow.names if name == "text" or name not in UNIQUE]
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=counted)
            tally.add(table)
            for what in TOKENS:
                tokens[what] += sum(pc.sum(table.column(f"{name}_{what}")).as_py() or 0 for name in labelers)
    return Counted(tally, labels, tokens["prompt_tokens"], tokens["completion_tokens"])


def as_plain(statistics: Statistics) -> dict[str, Any]:
    """For JSON: pairs of labelers become `a/b`."""
    plain = asdict(replace(statistics, kappa={}))
    plain["kappa"] = {"/".join(pair): asdict(value) for pair, value in statistics.kappa.items()}
    return plain


def _accuracy(pairs: Pairs, labels: Sequence[str]) -> Accuracy:
    return Accuracy(accuracy(pairs), per_label(pairs, labels), kappa(pairs))
