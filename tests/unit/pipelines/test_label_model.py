"""From votes to one label."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.pipelines.label_model import Outcome, Votes, dawid_skene, majority

LABELS = ("a", "b", "c")
CAST = st.lists(st.tuples(*[st.sampled_from([*LABELS, None])] * 3), min_size=1, max_size=30)


def annotators(truth: list[str], skills: list[float], draw: random.Random) -> Votes:
    """Votes of annotators that are right with the given probability and otherwise pick one of the other labels."""
    return {
        f"w{number}": [label if draw.random() < skill else draw.choice([other for other in LABELS if other != label]) for label in truth]
        for number, skill in enumerate(skills)
    }


def right(outcomes: list[Outcome], truth: list[str]) -> int:
    return sum(outcome.label == label for outcome, label in zip(outcomes, truth, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_beats_majority_when_annotators_differ_in_skill(seed: int) -> None:
    draw = random.Random(seed)
    truth = [draw.choice(LABELS) for _ in range(1000)]
    votes = annotators(truth, [0.9, 0.85, 0.5, 0.45, 0.4, 0.35], draw)

    assert right(dawid_skene(votes, LABELS), truth) > right(majority(votes), truth) + 30


def test_dawid_skene_learns_from_an_annotator_that_is_always_wrong() -> None:
    draw = random.Random(7)
    truth = [draw.choice(LABELS) for _ in range(300)]
    votes = annotators(truth, [0.8, 0.8, 0.8], draw)
    liar = [LABELS[(LABELS.index(label) + 1) % 3] for label in truth]
    honest, joined = dawid_skene(votes, LABELS), dawid_skene({**votes, "liar": liar}, LABELS)
    assert right(joined, truth) > right(honest, truth) + 10


@given(CAST)
def test_probabilities_are_probabilities_and_a_record_without_votes_gets_no_label(cast: list[tuple[str | None, ...]]) -> None:
    votes = {f"w{number}": list(column) for number, column in enumerate(zip(*cast, strict=True))}
    for outcomes in (dawid_skene(votes, LABELS), majority(votes)):
        for outcome, given_votes in zip(outcomes, cast, strict=True):
            if any(given_votes):
                assert outcome.label in LABELS
                assert outcome.probability is not None
                assert 0 < outcome.probability <= 1
            else:
                assert outcome == Outcome(None, None)


def test_a_tie_goes_to_the_labeler_named_first() -> None:
    assert majority({"first": ["b", "a"], "second": ["a", "a"]}) == [Outcome("b", 0.5), Outcome("a", 1.0)]


def test_votes_that_agree_are_taken_as_they_are() -> None:
    votes = {"w0": ["a", "b", "c"], "w1": ["a", "b", "c"]}
    assert [outcome.label for outcome in dawid_skene(votes, LABELS)] == ["a", "b", "c"]
