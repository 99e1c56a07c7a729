"""Dawid and Skene's label model (pure)."""

from stack.pipelines.labels.em import SMOOTHING, fit, normalised
from stack.pipelines.labels.outcomes import Outcomes
from stack.pipelines.labels.votes import Floats, Votes


def dawid_skene(votes: Votes) -> Outcomes:
    """One confusion matrix per labeler, the prior estimated (A. P. Dawid and A. M. Skene, Applied Statistics 28, 1979, 20-28).

    It learns whom to believe from agreement alone, so with two labelers it can do little more than weigh them by how they
    agree; three or more let it tell a good one from a bad one.
    """
    return fit(votes, _confusion, None)


def _confusion(counts: Floats) -> Floats:
    return normalised(counts + SMOOTHING)
