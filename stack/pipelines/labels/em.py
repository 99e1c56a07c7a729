"""Expectation maximisation over labelers that err independently, given the true label (pure).

Works on patterns of votes instead of records, and on blocks of a few labelers instead of single ones: what a block can say has so few
combinations that its likelihood is a small table, looked up per pattern.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stack.pipelines.labels.majority import tallies
from stack.pipelines.labels.outcomes import Fit, Outcomes, of_patterns
from stack.pipelines.labels.votes import ABSTAINS, Codes, Floats, Indices, Votes, group_rows

MAX_ROUNDS = 100
TOLERANCE = 1e-8
"""A round that moves no belief by more ends the fit."""

SMOOTHING = 0.01
"""Pseudo-count: an error that was never seen stays possible."""

DIGITS = 12
"""Beliefs are rounded to so many after each round. Where the votes say the same of two labels, a difference of 1e-16 would else grow from
round to round until one of them is all but certain, and which one would depend on the machine and on the order of the labels."""

BLOCK_COMBINATIONS = 4096


@dataclass(frozen=True)
class Block:
    """Neighbouring labelers: `of_pattern` (p) is the combination of their votes, `cast` (combinations x labelers * k) its votes as 0 and 1."""

    labelers: slice
    of_pattern: Indices
    cast: Floats


def fit(votes: Votes, confusion_of: Callable[[Floats], Floats], balance: Floats | None) -> Outcomes:
    """`confusion_of` turns expected counts (m x k x k, true label by vote) into confusion matrices; `balance` (k) fixes the prior, None has it estimated.

    Starts from the shares of the votes. Exactly the same result for the same records in any order.
    """
    k, m = len(votes.labels), len(votes.labelers)
    tally = tallies(votes)
    spoke = tally.sum(axis=1) > 0
    codes, weight, tally = votes.pattern_codes[spoke], votes.patterns.counts[spoke].astype(np.float64), tally[spoke]
    coverage = (votes.codes != ABSTAINS).mean(axis=0) if len(votes) else np.zeros(m)
    if not len(codes):
        nothing = Fit(np.full((m, k, k), np.nan), np.full(k, np.nan), coverage, 0, True)
        return of_patterns(votes, np.full(len(spoke), ABSTAINS, np.int16), np.full((len(spoke), k), np.nan), nothing)
    blocks = _blocks(codes, k)
    belief = np.round(normalised(tally.astype(np.float64)), DIGITS)
    moved, rounds = np.inf, 0
    while moved >= TOLERANCE and rounds < MAX_ROUNDS:
        weighted = belief * weight[:, None]
        prior = normalised(weighted.sum(axis=0) + SMOOTHING) if balance is None else balance
        confusion = confusion_of(_expected_counts(blocks, weighted, m))
        updated = np.round(_beliefs(blocks, prior, confusion), DIGITS)
        moved = float(np.abs(updated - belief).max())
        belief = updated
        rounds += 1
    whole = np.full((len(spoke), k), np.nan)
    whole[spoke] = belief
    chosen = np.full(len(spoke), ABSTAINS, np.int16)
    # The first of equally believed labels: beliefs closer than the fit's tolerance are equal, so that rounding never decides.
    chosen[spoke] = (belief >= belief.max(axis=1, keepdims=True) - TOLERANCE).argmax(axis=1)
    return of_patterns(votes, chosen, whole, Fit(confusion, prior, coverage, rounds, moved < TOLERANCE))


def normalised(weights: Floats) -> Floats:
    """Each row of the last axis divided by its sum; no row is all zero."""
    shares: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return shares


def _blocks(codes: Codes, k: int) -> list[Block]:
    """Labelers in runs of at most BLOCK_COMBINATIONS combinations, at least one labeler each."""
    size = max(1, int(np.log(BLOCK_COMBINATIONS) / np.log(k + 1)))
    blocks = []
    for start in range(0, codes.shape[1], size):
        part = codes[:, start : start + size]
        groups = group_rows(part.astype(np.int32) + 1, k + 1)
        # Row k of the table is all 0: code -1, no vote.
        one_hot = np.vstack([np.eye(k), np.zeros(k)])
        cast = one_hot[part[groups.first]].reshape(len(groups.first), -1)
        blocks.append(Block(slice(start, start + part.shape[1]), groups.of_row, cast))
    return blocks


def _expected_counts(blocks: list[Block], weighted: Floats, m: int) -> Floats:
    """m x k x k: how often each labeler voted each label (last axis) where the truth is believed to be each label (middle)."""
    k = weighted.shape[1]
    counts = np.empty((m, k, k))
    for block in blocks:
        sums = np.stack([np.bincount(block.of_pattern, weighted[:, label], len(block.cast)) for label in range(k)])
        counts[block.labelers] = (sums @ block.cast).reshape(k, -1, k).transpose(1, 0, 2)
    return counts


def _beliefs(blocks: list[Block], prior: Floats, confusion: Floats) -> Floats:
    """p x k: the posterior of each true label."""
    k = len(prior)
    log_belief = np.log(prior)[None, :]
    for block in blocks:
        log_confusion = np.log(confusion[block.labelers]).transpose(0, 2, 1).reshape(-1, k)
        log_belief = log_belief + (block.cast @ log_confusion)[block.of_pattern]
    return normalised(np.exp(log_belief - log_belief.max(axis=1, keepdims=True)))
