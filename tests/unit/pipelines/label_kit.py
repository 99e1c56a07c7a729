"""Votes with a known truth."""

import numpy as np

from stack.pipelines.labels import ABSTAINS, Votes
from stack.pipelines.labels.votes import Codes


def synthetic(seed: int, *, records: int = 5000, labels: int = 4, skills: tuple[float, ...] | None = None, labelers: int = 10) -> tuple[Votes, Codes]:
    """Ten functions of skill 0.4 to 0.9 that vote on 40 to 90 % of the records and confuse labels in their own way; and the truth."""
    draw = np.random.default_rng(seed)
    truth = draw.choice(labels, records, p=draw.dirichlet(np.full(labels, 20.0))).astype(np.int16)
    skills = skills or tuple(draw.uniform(0.4, 0.9, labelers))
    columns = []
    for skill in skills:
        confusion = np.vstack([row_of(label, skill, labels, draw) for label in range(labels)])
        column = (draw.random(records)[:, None] > confusion.cumsum(axis=1)[truth]).sum(axis=1).clip(max=labels - 1).astype(np.int16)
        column[draw.random(records) > draw.uniform(0.4, 0.9)] = ABSTAINS
        columns.append(column)
    return Votes(np.column_stack(columns), tuple("abcdefgh"[:labels]), tuple(f"w{number}" for number in range(len(skills)))), truth


def row_of(label: int, skill: float, labels: int, draw: np.random.Generator) -> np.ndarray:
    """Right with `skill`; the rest goes unevenly to the other labels."""
    row = np.insert(draw.dirichlet(np.full(labels - 1, 0.7)) * (1 - skill), label, skill)
    return np.asarray(row)


def direct_dawid_skene(votes: Votes, *, rounds: int) -> np.ndarray:
    """Equations 2.3 to 2.5 of Dawid and Skene (1979) with loops over records, smoothed by 0.01 as ours; every record has a vote."""
    n, m, k = len(votes), len(votes.labelers), len(votes.labels)
    belief = np.zeros((n, k))
    for i, j in np.argwhere(votes.codes != ABSTAINS):
        belief[i, votes.codes[i, j]] += 1
    belief /= belief.sum(axis=1, keepdims=True)
    for _ in range(rounds):
        prior = (belief.sum(axis=0) + 0.01) / (n + k * 0.01)
        confusion = np.full((m, k, k), 0.01)
        for i, j in np.argwhere(votes.codes != ABSTAINS):
            confusion[j, :, votes.codes[i, j]] += belief[i]
        confusion /= confusion.sum(axis=2, keepdims=True)
        for i in range(n):
            belief[i] = prior
            for j in range(m):
                if votes.codes[i, j] != ABSTAINS:
                    belief[i] *= confusion[j, :, votes.codes[i, j]]
            belief[i] /= belief[i].sum()
    return belief
