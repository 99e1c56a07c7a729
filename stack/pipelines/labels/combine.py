"""From several votes to one label with a probability (pure)."""

from collections.abc import Mapping
from typing import Literal

from stack.pipelines.labels.dawid_skene import dawid_skene
from stack.pipelines.labels.generative import generative
from stack.pipelines.labels.majority import majority
from stack.pipelines.labels.outcomes import Outcomes
from stack.pipelines.labels.votes import Votes

Method = Literal["dawid_skene", "generative", "majority"]


def aggregate(votes: Votes, method: Method, balance: Mapping[str, float] | None = None) -> Outcomes:
    """One outcome per record, in order. `balance` is for the generative model: shares of the labels, estimated without it."""
    if method == "generative":
        return generative(votes, balance)
    return dawid_skene(votes) if method == "dawid_skene" else majority(votes)
