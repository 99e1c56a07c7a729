"""What the reviews come to: one label per record, and how far the people agree."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from stack.pipelines.review.decisions import ReviewState, fold
from stack.pipelines.review.log import REVIEWS, read_decisions
from stack.pipelines.review.queue import read_dataset


@dataclass(frozen=True)
class Reviewed:
    """The people's label of a record. `label` is None at a tie that nobody has settled; `by` names who gave it
    (all who voted, or the one who settled it); `agreement` is the share of the votes that went to the most frequent
    label, None when it was settled without votes."""

    label: str | None
    by: tuple[str, ...]
    agreement: float | None
    settled: bool


def reviewed(out: Path) -> dict[str, Reviewed]:
    """Per record that people voted on or settled, by record_id; decisions on a text that has changed since are left out."""
    return outcomes(fold(read_decisions(out / REVIEWS), read_dataset(out).text_digests))


def people_votes(path: Path) -> dict[str, str]:
    """Label per record_id, of the log at `path`: the vote of the annotator `people`. Records at a tie have none."""
    return {record_id: each.label for record_id, each in outcomes(fold(read_decisions(path))).items() if each.label is not None}


def outcomes(state: ReviewState) -> dict[str, Reviewed]:
    """Adjudication first, then the majority of the reviewers; sorted by record_id."""
    votes, settled = state.votes(), state.settled()
    found = {}
    for record_id in sorted({*votes, *settled}):
        cast = votes.get(record_id, {})
        ranked = Counter(vote.label for vote in cast.values()).most_common(2)
        agreement = ranked[0][1] / len(cast) if ranked else None
        if record_id in settled:
            found[record_id] = Reviewed(settled[record_id].label, (settled[record_id].reviewer,), agreement, settled=True)
        else:
            tie = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
            found[record_id] = Reviewed(None if tie else ranked[0][0], tuple(sorted(cast)), agreement, settled=False)
    return found
