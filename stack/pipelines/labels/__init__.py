"""Labels: labelers that ask no model, label models, agreement, calibration, label errors, and what people should look at first.

In: votes in columns of strings (`Votes.from_columns`). Out: `Outcomes` (label, probability, belief in every label per record) and
figures with intervals. Everything is numpy over integer codes, and does not depend on the order of the records. It never reads a
record's text, except in `functions`, and never asks an endpoint.
"""

from stack.pipelines.labels.combine import Method, aggregate
from stack.pipelines.labels.outcomes import Fit, Outcomes
from stack.pipelines.labels.votes import ABSTAINS, Votes, encode

__all__ = ["ABSTAINS", "Fit", "Method", "Outcomes", "Votes", "aggregate", "encode"]
