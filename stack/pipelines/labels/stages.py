"""The stages that look at the votes of all records at once: one label from several votes, and labels that are likely wrong."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stack.pipelines.base import Batch, DatasetStage, Decision, Work
from stack.pipelines.errors import PipelineError
from stack.pipelines.labels.combine import Method, aggregate
from stack.pipelines.labels.errors import LabelQuality, label_errors
from stack.pipelines.labels.generative import shares_of
from stack.pipelines.labels.outcomes import Outcomes, words
from stack.pipelines.labels.votes import Codes, Indices, Votes, encode, group_rows

VOTE_SUFFIX = "_label"
OUTCOME, PROBABILITY = "label", "probability"
SUSPECT, QUALITY = "label_suspect", "label_quality"
GIVEN = "given"
VOTE = "vote:"
"""A sketch's column of a labeler's votes; no labeler has a colon in its name."""

DIGITS = 9
"""Of probabilities: a fit ends when beliefs move by less than 1e-8, so further digits would only tell one machine's rounding from another's."""


class _OnVotes(DatasetStage):
    """What both stages share: which columns are votes, and how they are cut down to codes. Nothing but codes of 16 bits leaves a shard."""

    method: Method = "dawid_skene"
    balance: dict[str, float] | None = Field(default=None, description="Shares of the labels, for the generative method; estimated without it")
    labels: tuple[str, ...] = Field(default=(), description="The pipeline's, unless given")
    labelers: tuple[str, ...] = Field(default=(), description="Whose votes count: all of the pipeline's, unless given")

    @model_validator(mode="after")
    def _balance_fits(self) -> Self:
        if self.balance is not None and self.method != "generative":
            raise ValueError(f"field `balance` is for method generative, not {self.method}: remove it or change the method")
        if self.balance is not None and self.labels:
            try:
                shares_of(self.balance, self.labels)
            except PipelineError as error:
                raise ValueError(str(error)) from None
        return self

    @property
    def voters(self) -> tuple[str, ...]:
        return self.labelers

    def sketch(self, batch: Batch, work: Work) -> pa.Table:  # noqa: ARG002 -- the contract of stages
        if not self.labels or not self.voters:
            raise PipelineError(f"stage {self.kind}: field `{'labelers' if self.labels else 'labels'}` is empty: name them, or add a stage `label` before it")
        if self.balance is not None:
            shares_of(self.balance, self.labels)
        return pa.table({VOTE + name: pa.array(self._codes(batch, name + VOTE_SUFFIX, "labelers")) for name in self.voters})

    def _codes(self, batch: Batch, column: str, field: str) -> Codes:
        if column not in batch.columns:
            raise PipelineError(f"field `{field}`: there is no column {column}; columns at this stage: {', '.join(sorted(batch.columns))}")
        return encode(batch.columns[column], self.labels, column=column)

    def _outcomes(self, sketches: Sequence[pa.Table]) -> Outcomes:
        codes = np.empty((sum(table.num_rows for table in sketches), len(self.voters)), np.int16)
        for place, name in enumerate(self.voters):
            codes[:, place] = _whole(sketches, VOTE + name)
        return aggregate(Votes(codes, self.labels, self.voters), self.method, self.balance)


class Aggregate(_OnVotes):
    """Adds `label` and `probability`, the label model's belief in it, from all votes; both null for a record without any vote."""

    kind: Literal["aggregate"] = "aggregate"

    def in_words(self) -> str:
        return f"one label per record from all votes ({self.method.replace('_', '-')})"

    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:  # noqa: ARG002 -- the contract of stages
        outcomes = self._outcomes(sketches)
        labels, probabilities = np.array(words(outcomes.chosen, self.labels), dtype=object), _rounded(outcomes.certainty)
        for of_row in _parts(outcomes.of_row, sketches):
            yield Decision(columns={OUTCOME: labels[of_row].tolist(), PROBABILITY: probabilities[of_row].tolist()})


class LabelErrors(_OnVotes):
    """Adds `label_suspect`, whether a label is likely wrong by confident learning, and `label_quality`, the belief in it that the votes give.

    `check` names the column of labels to check. `gold`: against all votes. NAME_label: that labeler against the others. `label`: the outcome
    of the same votes, so it only finds records that the label model itself believes less than usual. A record without a label in that
    column, or without any vote, is not suspected and has no quality. `drop` leaves suspects out, with the reason `label_error`.
    """

    kind: Literal["label_errors"] = "label_errors"
    check: str = Field(default="gold", min_length=1, description="Column of the labels to check: gold, label, or a labeler's NAME_label")
    drop: bool = Field(default=False, description="Leave the suspects out instead of only marking them")

    @property
    def voters(self) -> tuple[str, ...]:
        return tuple(name for name in self.labelers if name + VOTE_SUFFIX != self.check)

    def in_words(self) -> str:
        return f"{'leave out' if self.drop else 'mark'} records whose {self.check} is likely wrong, by confident learning over the votes"

    def sketch(self, batch: Batch, work: Work) -> pa.Table:
        if self.labelers and not self.voters:
            raise PipelineError(f"field `check`: {self.check} holds the only votes there are: add a labeler to check it against")
        return super().sketch(batch, work).append_column(GIVEN, pa.array(self._codes(batch, self.check, "check")))

    def decide(self, sketches: Sequence[pa.Table], work: Work) -> Iterator[Decision]:  # noqa: ARG002 -- the contract of stages
        outcomes = self._outcomes(sketches)
        # Records with the same votes and the same given label are alike: one row stands for them all.
        k = len(self.labels)
        alike = group_rows(np.column_stack([outcomes.of_row, _whole(sketches, GIVEN) + np.int64(1)]), max(len(outcomes.chosen), k + 1))
        given = _whole(sketches, GIVEN)[alike.first]
        found = label_errors(given, outcomes.belief[outcomes.of_row[alike.first]], alike.counts)
        details, qualities = _details(given, found, self.labels), _rounded(found.quality)
        for of_row in _parts(alike.of_row, sketches):
            suspect = found.suspect[of_row]
            drops = {row: ("label_error", details[of_row[row]]) for row in np.flatnonzero(suspect).tolist()} if self.drop else {}
            yield Decision(drops, {SUSPECT: suspect.tolist(), QUALITY: qualities[of_row].tolist()})


def _whole(sketches: Sequence[pa.Table], name: str) -> Codes:
    """A column of codes of all shards, in order."""
    return np.concatenate([np.zeros(0, np.int16), *(table.column(name).to_numpy() for table in sketches)])


def _parts(of_row: Indices, sketches: Sequence[pa.Table]) -> Iterator[Indices]:
    """Each shard's part, in order."""
    start = 0
    for table in sketches:
        yield of_row[start : start + table.num_rows]
        start += table.num_rows


def _rounded(values: NDArray[np.float64]) -> NDArray[np.object_]:
    """As Python numbers, None for NaN."""
    return np.array([None if np.isnan(value) else round(value, DIGITS) for value in values.tolist()], dtype=object)


def _details(given: Codes, found: LabelQuality, labels: tuple[str, ...]) -> list[Any]:
    pairs = zip(words(given, labels), words(found.suggested, labels), strict=True)
    return [f"{is_now}: the votes say {instead}" if instead else "" for is_now, instead in pairs]
