"""All that can be said of a set of votes, as one plain document for the dataset card (pure)."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from stack.pipelines.errors import PipelineError
from stack.pipelines.labels.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from stack.pipelines.labels.calibration import measure_calibration
from stack.pipelines.labels.combine import Method, aggregate
from stack.pipelines.labels.errors import label_errors
from stack.pipelines.labels.majority import tallies
from stack.pipelines.labels.outcomes import Outcomes
from stack.pipelines.labels.votes import ABSTAINS, Codes, Counts, Floats, Votes, group_rows
from stack.pipelines.statistics import wilson

DIGITS = 9


def describe_labels(
    votes: Mapping[str, Codes],
    labels: tuple[str, ...],
    *,
    gold: Codes | None = None,
    method: Method = "dawid_skene",
    balance: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """`votes`: codes (n) by labeler, and `gold` codes (n), positions in `labels`, ABSTAINS for none.

    Only strings, whole numbers, lists, dicts, None, and numbers rounded to 9 digits: the same votes give the same bytes in any order of
    records. `gold` in the result is None without a single gold label. PipelineError for columns of different lengths.
    """
    columns = [*votes.values(), *([] if gold is None else [gold])]
    if len({len(column) for column in columns}) > 1:
        raise PipelineError("votes: columns of votes and gold differ in length: give one code per record")
    matrix = np.column_stack(list(votes.values())).astype(np.int16) if votes else np.empty((0 if gold is None else len(gold), 0), np.int16)
    whole = Votes(matrix, labels, tuple(votes))
    outcomes = aggregate(whole, method, balance)
    described = {
        "records": len(whole),
        "labelers": {name: _labeler(whole, place, outcomes) for place, name in enumerate(whole.labelers)},
        "agreement": _agreement(whole, seed),
        "label": _label(outcomes, method),
        "gold": _against_gold(whole, outcomes, gold) if gold is not None and (gold != ABSTAINS).any() else None,
    }
    plain: dict[str, Any] = _plain(described)
    return plain


def _labeler(votes: Votes, place: int, outcomes: Outcomes) -> dict[str, Any]:
    """What it voted, and how often the label model believes it right (None for a method that learns nothing)."""
    codes = votes.codes[:, place]
    given = codes[codes != ABSTAINS]
    fit = outcomes.fit
    return {
        "votes": len(given),
        "coverage": len(given) / len(codes) if len(codes) else None,
        "balance": _balance(given, votes.labels),
        "estimated_accuracy": None if fit is None else float(fit.prior @ np.diag(fit.confusion[place])),
        "confusion": None if fit is None else fit.confusion[place].tolist(),
    }


def _agreement(votes: Votes, seed: int) -> dict[str, Any]:
    differ = ((tallies(votes) > 0).sum(axis=1) > 1)[votes.patterns.of_row]
    several = (votes.codes != ABSTAINS).sum(axis=1) > 1
    return {
        "cohen_kappa": {f"{first}/{second}": asdict(cohen_kappa(votes, first, second, seed=seed)) for first, second in combinations(votes.labelers, 2)},
        "fleiss_kappa": asdict(fleiss_kappa(votes, seed=seed)),
        "krippendorff_alpha": asdict(krippendorff_alpha(votes, seed=seed)),
        "disagreeing": asdict(wilson(int(differ.sum()), int(several.sum()))),
    }


def _label(outcomes: Outcomes, method: Method) -> dict[str, Any]:
    given = outcomes.codes[outcomes.codes != ABSTAINS]
    fit = outcomes.fit
    return {
        "method": method,
        "labeled": len(given),
        "balance": _balance(given, outcomes.labels),
        "prior": None if fit is None else dict(zip(outcomes.labels, fit.prior.tolist(), strict=True)),
        "rounds": None if fit is None else fit.rounds,
        "converged": None if fit is None else fit.converged,
    }


def _against_gold(votes: Votes, outcomes: Outcomes, gold: Codes) -> dict[str, Any]:
    """Accuracy of each labeler and of the outcome, calibration, and gold labels that are likely wrong themselves."""
    known = gold != ABSTAINS
    beliefs, alike_gold, chosen, counts = _alike(outcomes, gold)
    errors = label_errors(alike_gold, beliefs, counts)
    accuracy = {}
    for name, codes in zip(votes.labelers, votes.codes.T, strict=True):
        both = known & (codes != ABSTAINS)
        accuracy[name] = asdict(wilson(int((codes[both] == gold[both]).sum()), int(both.sum())))
    balance = _balance(gold[known], votes.labels)
    return {
        "records": int(known.sum()),
        "balance": balance,
        "majority_class": asdict(wilson(max(balance.values(), default=0), int(known.sum()))),
        "labelers": accuracy,
        "calibration": asdict(measure_calibration(chosen, beliefs, alike_gold, counts)),
        "suspects": {
            "records": int(counts[errors.suspect].sum()),
            "thresholds": dict(zip(votes.labels, errors.thresholds.tolist(), strict=True)),
            "confident_joint": errors.joint.tolist(),
        },
    }


def _alike(outcomes: Outcomes, gold: Codes) -> tuple[Floats, Codes, Codes, Counts]:
    """Beliefs, gold, chosen label and number of the records that are alike in all of them: few rows instead of many."""
    groups = group_rows(np.column_stack([outcomes.of_row, gold + np.int64(1)]), max(len(outcomes.chosen), len(outcomes.labels) + 1))
    pattern = outcomes.of_row[groups.first]
    return outcomes.belief[pattern], gold[groups.first], outcomes.chosen[pattern], groups.counts


def _balance(codes: Codes, labels: tuple[str, ...]) -> dict[str, int]:
    return dict(zip(labels, np.bincount(codes, minlength=len(labels)).tolist(), strict=True))


def _plain(value: Any) -> Any:
    """Numbers rounded, None for not-a-number, tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, DIGITS)
    return value
