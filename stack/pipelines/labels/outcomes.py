"""What a label model says of each record (models)."""

from dataclasses import dataclass

import numpy as np

from stack.pipelines.labels.votes import ABSTAINS, Codes, Floats, Votes


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
    """Per record: `codes` (n) positions in `labels`, ABSTAINS without any vote; `matrix` (n x k) belief in every label, NaN without any vote.

    `fit` is None for a method that learns nothing.
    """

    codes: Codes
    matrix: Floats
    labels: tuple[str, ...]
    fit: Fit | None = None

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def probability(self) -> Floats:
        """n: belief in the chosen label, NaN without any vote."""
        chosen: Floats = self.matrix[np.arange(len(self)), np.maximum(self.codes, 0)]
        return chosen

    def names(self) -> list[str | None]:
        """The labels as words."""
        table = np.array([*self.labels, None], dtype=object)
        named: list[str | None] = table[self.codes].tolist()
        return named


def of_patterns(votes: Votes, codes: Codes, belief: Floats, fit: Fit | None = None) -> Outcomes:
    """Outcomes of all records from one row per pattern of votes; patterns without any vote get no label."""
    silent = (votes.pattern_codes == ABSTAINS).all(axis=1)
    codes = np.where(silent, ABSTAINS, codes).astype(np.int16)
    belief = np.where(silent[:, None], np.nan, belief)
    of_row = votes.patterns.of_row
    return Outcomes(codes[of_row], belief[of_row], votes.labels, fit)
