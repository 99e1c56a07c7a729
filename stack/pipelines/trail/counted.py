"""Agreement from counts of votes instead of votes: what shards counted apart is told of the whole, by the same formulas (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stack.pipelines.labels.agreement import Agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha
from stack.pipelines.labels.votes import ABSTAINS, Codes, Counts, Groups, Votes
from stack.pipelines.statistics import wilson
from stack.pipelines.trail.described import Interval

Pairs = Mapping[tuple[str, str], int]
"""Votes of two annotators, both given, to records."""
Rows = Mapping[tuple[str, ...], int]
"""Votes of all annotators of a record, without gaps, to records."""


@dataclass(frozen=True)
class CountedVotes(Votes):
    """One row per pattern of votes, each different; `records` (p) says how many records have it."""

    records: Counts

    @classmethod
    def of(cls, votes: Rows, width: int) -> "CountedVotes":
        """Rows shorter than `width` are filled up with abstentions. The order of `votes` does not show."""
        labels = sorted({label for row in votes for label in row})
        code = {label: place for place, label in enumerate(labels)}
        codes: Codes = np.full((len(votes), width), ABSTAINS, np.int16)
        rows = sorted(votes)
        for place, row in enumerate(rows):
            codes[place, : len(row)] = [code[label] for label in row]
        return cls(codes, tuple(labels), tuple(map(str, range(width))), np.array([votes[row] for row in rows], np.int64))

    @cached_property
    def patterns(self) -> Groups:
        rows = np.arange(len(self.codes))
        return Groups(rows, self.records, rows)


def share_right(pairs: Pairs) -> Interval:
    """Share of records with the same vote, with its Wilson interval."""
    share = wilson(sum(count for (a, b), count in pairs.items() if a == b), sum(pairs.values()))
    return Interval(share.value, share.low, share.high)


def kappa(pairs: Pairs) -> Interval:
    """Cohen's."""
    return _interval(cohen_kappa(CountedVotes.of(dict[tuple[str, ...], int](pairs.items()), 2), "0", "1"))


def alpha(units: Rows) -> Interval:
    """Krippendorff's, nominal."""
    return _interval(krippendorff_alpha(CountedVotes.of(units, max(map(len, units), default=0))))


def fleiss(units: Rows, raters: int) -> Interval:
    """Fleiss' kappa, over the records on which all `raters` voted."""
    return _interval(fleiss_kappa(CountedVotes.of({unit: count for unit, count in units.items() if len(unit) == raters}, raters)))


def _interval(found: Agreement) -> Interval:
    """Without any disagreement resampling has nothing to vary: a point would claim a certainty that nobody has."""
    return Interval(found.value) if found.low == found.high else Interval(found.value, found.low, found.high)
