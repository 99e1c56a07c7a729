"""What a label model says of each record (models)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stack.pipelines.labels.votes import ABSTAINS, Codes, Floats, Indices, Votes


@dataclass(frozen=True)
class Fit:
    """What a label model learned.

    `confusion` (m labelers x k x k): of each true label (row) how often each label is voted, given that the labeler votes. `prior` (k): shares
    of the true labels. `coverage` (m): share of the records on which a labeler votes. `converged` is False when the rounds ran out first.
    """

    confusion: Floats
    prior: Floats
    coverage: Floats
    rounds: int
    converged: bool


@dataclass(frozen=True)
class Outcomes:
    """Per pattern of votes: `chosen` (p) positions in `labels`, ABSTAINS without any vote; `belief` (p x k) in every label, NaN without any vote.

    `of_row` (n) is the pattern of each record; `codes` and `matrix` say the same per record, and take memory for each. `fit` is None for a
    method that learns nothing.
    """

    chosen: Codes
    belief: Floats
    of_row: Indices
    labels: tuple[str, ...]
    fit: Fit | None = None

    def __len__(self) -> int:
        return len(self.of_row)

    @cached_property
    def codes(self) -> Codes:
        """n: the chosen label."""
        return self.chosen[self.of_row]

    @cached_property
    def matrix(self) -> Floats:
        """n x k: belief in every label."""
        return self.belief[self.of_row]

    @property
    def certainty(self) -> Floats:
        """p: belief in the chosen label, NaN without any vote."""
        chosen: Floats = self.belief[np.arange(len(self.chosen)), np.maximum(self.chosen, 0)]
        return chosen

    @property
    def probability(self) -> Floats:
        """n: belief in the chosen label, NaN without any vote."""
        return self.certainty[self.of_row]

    def names(self) -> list[str | None]:
        """n: the labels as words."""
        return words(self.codes, self.labels)


def words(codes: Codes, labels: tuple[str, ...]) -> list[str | None]:
    """Labels by their positions, None for ABSTAINS."""
    table = np.array([*labels, None], dtype=object)
    named: list[str | None] = table[codes].tolist()
    return named


def of_patterns(votes: Votes, codes: Codes, belief: Floats, fit: Fit | None = None) -> Outcomes:
    """Outcomes from one row per pattern of votes; patterns without any vote get no label."""
    silent = (votes.pattern_codes == ABSTAINS).all(axis=1)
    codes = np.where(silent, ABSTAINS, codes).astype(np.int16)
    belief = np.where(silent[:, None], np.nan, belief)
    return Outcomes(codes, belief, votes.patterns.of_row, votes.labels, fit)
