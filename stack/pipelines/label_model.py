"""From several votes to one label with a probability (pure)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAX_ROUNDS = 100
TOLERANCE = 1e-8
SMOOTHING = 0.01
"""Pseudo-count in every cell of a confusion matrix: an error that was never seen stays possible."""

Votes = Mapping[str, Sequence[str | None]]
"""By labeler, one vote per record; None abstains."""


@dataclass(frozen=True)
class Outcome:
    """`probability` is the model's belief in `label`; both are None for a record without any vote."""

    label: str | None
    probability: float | None


def aggregate(votes: Votes, labels: Sequence[str], method: Literal["dawid_skene", "majority"]) -> list[Outcome]:
    """One outcome per record, in order."""
    return dawid_skene(votes, labels) if method == "dawid_skene" else majority(votes)


def majority(votes: Votes) -> list[Outcome]:
    """The most frequent vote and its share of the votes; a tie goes to the labeler named first."""
    outcomes = []
    for cast in zip(*votes.values(), strict=True):
        given = [vote for vote in cast if vote is not None]
        if not given:
            outcomes.append(Outcome(None, None))
            continue
        # Counter keeps first-seen order and max the first of equals: that is the tie rule.
        counts = Counter(given)
        label = max(counts, key=lambda vote: counts[vote])
        outcomes.append(Outcome(label, counts[label] / len(given)))
    return outcomes


def dawid_skene(votes: Votes, labels: Sequence[str]) -> list[Outcome]:
    """Expectation maximisation over one confusion matrix per labeler (A. P. Dawid and A. M. Skene, Applied Statistics 28, 1979, 20-28).

    Starts from the shares of the votes. It learns whom to believe from agreement alone, so with two labelers it can do
    little more than weigh them by how they agree; three or more let it tell a good one from a bad one.
    """
    index = {label: position for position, label in enumerate(labels)}
    # cast[labeler, record, label] is 1 for the vote that was given, all 0 where a labeler abstained.
    cast = np.array([[[vote is not None and index[vote] == k for k in range(len(labels))] for vote in column] for column in votes.values()], dtype=np.float64)
    given = cast.sum(axis=(0, 2)) > 0
    cast = cast[:, given]
    belief = _normalised(cast.sum(axis=0))
    for _ in range(MAX_ROUNDS):
        prior = _normalised(belief.sum(axis=0) + SMOOTHING)
        confusion = _normalised(np.einsum("nk,jnl->jkl", belief, cast) + SMOOTHING)
        log_belief = np.log(prior) + np.einsum("jnl,jkl->nk", cast, np.log(confusion))
        updated = _normalised(np.exp(log_belief - log_belief.max(axis=1, keepdims=True)))
        moved = float(np.abs(updated - belief).max(initial=0.0))
        belief = updated
        if moved < TOLERANCE:
            break
    rows = iter(belief)
    return [_outcome(next(rows), labels) if has_vote else Outcome(None, None) for has_vote in given]


def _outcome(belief: NDArray[np.float64], labels: Sequence[str]) -> Outcome:
    best = int(belief.argmax())
    return Outcome(labels[best], float(belief[best]))


def _normalised(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row of the last axis divided by its sum; no row is all zero."""
    shares: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return shares
