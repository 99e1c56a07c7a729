"""Floors under the figures of docs/privacy.md; another seed than theirs."""

import pytest

from benchmarks.pii import BARE_NAME, cases, scores
from stack.privacy import KINDS


@pytest.fixture(scope="module")
def figures() -> dict[str, tuple[float, float]]:
    found, _ = scores(cases(4000, seed=11))
    return {kind: (score.recall.value or 0.0, score.precision.value or 0.0) for kind, score in found.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_recall_and_precision_on_generated_sentences_stay_above_their_floors(figures: dict[str, tuple[float, float]], kind: str) -> None:
    recall, precision = figures[kind]
    assert recall >= 0.97
    assert precision >= 0.95


def test_a_name_without_a_cue_is_not_found(figures: dict[str, tuple[float, float]]) -> None:
    assert figures[BARE_NAME][0] == 0
