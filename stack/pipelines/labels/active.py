"""Which records a person should look at first: where the label model is unsure, or labelers differ (pure).

The measures are those of B. Settles, Active Learning Literature Survey, Univ. of Wisconsin-Madison TR 1648, 2009, sections 3.1 and 3.2,
scaled to 0..1, 1 for most in need.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stack.pipelines.labels.majority import tallies
from stack.pipelines.labels.outcomes import Outcomes
from stack.pipelines.labels.votes import Floats, Indices, Votes

Measure = Literal["margin", "entropy", "least_confident"]

DIGITS = 9
"""Scores that differ less are equal, so that rounding never decides who comes first."""


def uncertainty(outcomes: Outcomes, measure: Measure = "margin") -> Floats:
    """n: how unsure the label model is of each record; 1 for a record without any vote.

    `margin`: 1 less the lead of the first label over the second. `entropy`: of the beliefs, as a share of the largest there can be.
    `least_confident`: what is missing to belief 1, likewise. They differ only with three labels or more.
    """
    belief = outcomes.belief
    silent = np.isnan(belief).any(axis=1)
    k = belief.shape[1]
    if k < 2:
        scores = np.zeros(len(belief))
    elif measure == "margin":
        ranked = np.sort(belief, axis=1)
        scores = 1 - (ranked[:, -1] - ranked[:, -2])
    elif measure == "entropy":
        scores = _entropy(belief) / np.log(k)
    else:
        scores = (1 - belief.max(axis=1)) * k / (k - 1)
    return _tidy(np.where(silent, 1.0, scores))[outcomes.of_row]


def disagreement(votes: Votes) -> Floats:
    """n: vote entropy (I. Dagan and S. P. Engelson, ICML 1995) over the votes given, as a share of the largest that so many votes can have.

    0 with fewer than two votes: nobody disagrees.
    """
    tally = tallies(votes)
    given = tally.sum(axis=1)
    labels = np.minimum(given, len(votes.labels))
    scores = np.zeros(len(tally))
    several = labels > 1
    scores[several] = _entropy(tally[several] / given[several, None]) / _largest_entropy(given[several], labels[several])
    return _tidy(scores)[votes.patterns.of_row]


def review_order(scores: Floats, record_ids: Sequence[str] | pa.Array) -> Indices:
    """Positions, highest score first, equal scores by record_id: the same whatever the order the records came in."""
    ids = record_ids if isinstance(record_ids, pa.Array) else pa.array(record_ids, pa.string())
    table = pa.table({"score": pa.array(_tidy(scores)), "record_id": ids})
    order: Indices = pc.sort_indices(table, sort_keys=[("score", "descending"), ("record_id", "ascending")]).to_numpy().astype(np.intp)
    return order


def _entropy(shares: Floats) -> Floats:
    entropy: Floats = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return entropy


def _largest_entropy(given: Indices, labels: Indices) -> Floats:
    """Of `given` votes over `labels` labels, no more than votes: as even as whole votes allow."""
    each, more = given // labels, given % labels
    low, high = each / given, (each + 1) / given
    entropy: Floats = -((labels - more) * low * np.log(low) + more * high * np.log(high))
    return entropy


def _tidy(scores: Floats) -> Floats:
    """Rounded, within 0..1, and without -0."""
    return np.clip(np.round(scores, DIGITS), 0.0, 1.0) + 0.0
