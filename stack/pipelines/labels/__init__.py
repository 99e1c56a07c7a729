"""Labels: label models, agreement, calibration, and likely label errors.

In: votes in columns of strings (`Votes.from_columns`) or codes. Out: `Outcomes` (label, probability, belief in every label per record)
and figures with intervals; `stages` makes pipeline stages of them. Everything is numpy over integer codes, and does not depend on the
order of the records. It never reads a record's text, and never asks an endpoint.
"""

from stack.pipelines.labels.agreement import Agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha
from stack.pipelines.labels.calibration import Calibration, measure_calibration
from stack.pipelines.labels.combine import Method, aggregate
from stack.pipelines.labels.errors import LabelQuality, label_errors
from stack.pipelines.labels.outcomes import Fit, Outcomes
from stack.pipelines.labels.report import describe_labels
from stack.pipelines.labels.votes import ABSTAINS, Votes, encode

__all__ = [
    "ABSTAINS",
    "Agreement",
    "Calibration",
    "Fit",
    "LabelQuality",
    "Method",
    "Outcomes",
    "Votes",
    "aggregate",
    "cohen_kappa",
    "describe_labels",
    "encode",
    "fleiss_kappa",
    "krippendorff_alpha",
    "label_errors",
    "measure_calibration",
]
