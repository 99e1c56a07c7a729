"""From what was counted and what was declared to `Described` (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any, Self

from stack.pipelines.base import Stage, Work
from stack.pipelines.trail.counted import alpha, fleiss, kappa, share_right
from stack.pipelines.trail.described import Described, Interval, LabelerRun, SourceFile, StageRun, Statements, WrittenFile
from stack.pipelines.trail.tally import GOLD, OUTCOME, Tally

READ = "read"
"""Drops that name no stage were made while reading."""


@dataclass(frozen=True)
class About:
    """What the pipeline file declares of its dataset."""

    name: str
    title: str
    version: str
    description: str = ""
    command: str = ""
    url: str = ""
    published: str = ""
    statements: Statements = field(default_factory=Statements)


@dataclass(frozen=True)
class StageSaid:
    """A stage as it was set, before its records are counted."""

    kind: str
    digest: str
    version: int
    words: str

    @classmethod
    def of(cls, stage: Stage, work: Work) -> Self:
        return cls(stage.kind, stage.digest(work), stage.VERSION, stage.in_words())


def describe(
    about: About,
    tally: Tally,
    *,
    sources: Sequence[SourceFile],
    stages: Sequence[StageSaid],
    files: Sequence[WrittenFile],
    columns: Mapping[str, str],
    labelers: Sequence[LabelerRun] = (),
    quarantined: int = 0,
) -> Described:
    """`columns` are the data files' (name to Arrow type), `quarantined` the records that could not be read."""
    return Described(
        **{name: getattr(about, name) for name in ("name", "title", "version", "description", "command", "url", "published", "statements")},
        sources=sources,
        stages=stage_runs(stages, tally, read=sum(source.records for source in sources) - quarantined),
        files=files,
        columns=columns,
        read=sum(source.records for source in sources),
        labeled=tally.records,
        quarantined=quarantined,
        languages=tally.languages,
        lengths=tally.length_bins,
        label_balance=tally.label_balance if OUTCOME in columns else {},
        gold_balance=tally.gold_balance,
        labelers=labelers,
        votes={name: {what: tally.votes[name, what] for what in ("voted", "abstained", "failed")} for name in tally.labelers},
        agreement=_agreement(tally),
        kappa=kappas(tally),
        accuracy=accuracies(tally),
        accuracy_by_language=by_language(tally),
        confusion=tally.confusion,
        reliability=tally.reliability,
        splits=dict(sorted(tally.splits.items())),
    )


def _agreement(tally: Tally) -> dict[str, Interval]:
    """Of all labelers together; Fleiss' kappa with two of them is no news beside Cohen's."""
    found = {"Krippendorff's alpha, all labelers": alpha(tally.units)} if len(tally.labelers) > 1 else {}
    return {**found, "Fleiss' kappa, records where all voted": fleiss(tally.units, len(tally.labelers))} if len(tally.labelers) > 2 else found


def stage_runs(stages: Sequence[StageSaid], tally: Tally, *, read: int) -> list[StageRun]:
    """Records in and out of each stage, in order. Of stages of one kind, which tell their drops under one name, the first has them all.

    Drops by a stage that is not in the list come first, as a stage of their own: none goes missing.
    """
    by_stage: dict[str, dict[str, int]] = {}
    for (kind, reason), count in sorted(tally.dropped.items()):
        by_stage.setdefault(kind or READ, {})[reason] = count
    known = {stage.kind for stage in stages}
    before = [StageSaid(kind, "", 0, "leaves out what cannot be used") for kind in by_stage if kind not in known]
    runs = []
    for stage in [*before, *stages]:
        dropped = by_stage.pop(stage.kind, {})
        left = read - sum(dropped.values())
        runs.append(StageRun(stage.kind, stage.digest, stage.version, stage.words, read, left, dropped))
        read = left
    return runs


def kappas(tally: Tally) -> dict[tuple[str, str], Interval]:
    """By pair, in the order of the labelers, then the final label and people's; pairs that share no record are left out."""
    pairs = {pair: tally.votes_of(*pair) for pair in combinations((*tally.labelers, OUTCOME, GOLD), 2)}
    return {pair: kappa(votes) for pair, votes in pairs.items() if votes}


def accuracies(tally: Tally) -> dict[str, Interval]:
    """Share of records where a labeler, or the final label, says what people said."""
    against = {name: tally.votes_of(name, GOLD) for name in (*tally.labelers, OUTCOME)}
    return {name: share_right(votes) for name, votes in against.items() if votes}


def by_language(tally: Tally) -> dict[str, Interval]:
    """The final label's, for each language that people labeled records of."""
    found = {language: tally.in_language(language) for language in tally.languages}
    return {language: share_right(pairs) for language, pairs in found.items() if pairs}


def card(dataset: Described) -> dict[str, Any]:
    """All of it as plain data, for card.json: pairs become `a/b`, and the figures stay as they were counted."""
    plain = asdict(dataset)
    plain["kappa"] = {"/".join(pair): asdict(each) for pair, each in dataset.kappa.items()}
    plain["confusion"] = [{"gold": gold, "label": label, "records": count} for (gold, label), count in dataset.confusion.items()]
    return {**plain, "licences": dataset.licences, "dropped": dataset.dropped, "unaccounted": dataset.unaccounted}
