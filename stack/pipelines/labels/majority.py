"""The most frequent vote (pure)."""

import numpy as np

from stack.pipelines.labels.outcomes import Outcomes, of_patterns
from stack.pipelines.labels.votes import ABSTAINS, Counts, Votes


def majority(votes: Votes) -> Outcomes:
    """The most frequent vote and its share of the votes; a tie goes to the labeler named first."""
    tally = tallies(votes)
    given = tally.sum(axis=1, keepdims=True)
    most = tally.max(axis=1, initial=0)
    rows = np.arange(len(tally))
    chosen = np.full(len(tally), ABSTAINS, np.int16)
    for codes in votes.pattern_codes.T[::-1]:
        # From the last labeler to the first: whoever stands first and voted for one of the leading labels has the last word.
        leads = (codes != ABSTAINS) & (tally[rows, np.maximum(codes, 0)] == most)
        chosen = np.where(leads, codes, chosen)
    return of_patterns(votes, chosen, tally / np.maximum(given, 1))


def tallies(votes: Votes) -> Counts:
    """p x k: how many labelers voted for each label, per pattern."""
    k = len(votes.labels)
    tally = np.zeros((len(votes.pattern_codes), k + 1), np.int64)
    rows = np.arange(len(tally))
    for codes in votes.pattern_codes.T:
        # Code -1 counts into the last column, which is cut off.
        tally[rows, codes] += 1
    counts: Counts = tally[:, :k]
    return counts
