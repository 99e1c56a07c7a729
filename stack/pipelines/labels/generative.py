"""The label model of data programming: one accuracy and one propensity per labeler (pure)."""

from collections.abc import Mapping

import numpy as np

from stack.pipelines.errors import PipelineError
from stack.pipelines.labels.em import SMOOTHING, fit
from stack.pipelines.labels.outcomes import Outcomes
from stack.pipelines.labels.votes import Floats, Votes


def generative(votes: Votes, balance: Mapping[str, float] | None = None) -> Outcomes:
    """Each labeler votes with its propensity; if it does, it is right with its accuracy, else any other label is as likely.

    The independent model of A. Ratner et al., Data Programming (NeurIPS 2016), section 2.1, for any number of labels, that Snorkel
    (2017) starts from. Fitted by expectation maximisation instead of their stochastic gradient: same likelihood, no learning rate. The
    propensity does not depend on the true label, so its estimate is the share of records voted on (`Fit.coverage`) and says nothing of
    a record's label. Far fewer parameters than Dawid-Skene: better with few votes, worse with a labeler that confuses two labels.
    `balance` gives the shares of the labels; without it they are estimated.
    """
    return fit(votes, _confusion, None if balance is None else shares_of(balance, votes.labels))


def _confusion(counts: Floats) -> Floats:
    m, k, _ = counts.shape
    right = np.trace(counts, axis1=1, axis2=2)
    accuracy = (right + SMOOTHING) / (counts.sum(axis=(1, 2)) + 2 * SMOOTHING)
    confusion = np.repeat(((1 - accuracy) / max(k - 1, 1))[:, None, None], k, axis=1).repeat(k, axis=2)
    confusion[:, np.arange(k), np.arange(k)] = accuracy[:, None]
    assert confusion.shape == (m, k, k)
    return confusion


def shares_of(balance: Mapping[str, float], labels: tuple[str, ...]) -> Floats:
    """Positions as in `labels`. PipelineError unless it is a positive share for every label, 1 in sum."""
    shares = np.array([balance.get(label, 0.0) for label in labels])
    if set(balance) != set(labels) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise PipelineError(f"field `balance`: give each of the labels ({', '.join(labels)}) a share above 0, 1 in sum")
    return shares
