"""Counting while records stream by: merging, order, and agreement told from counts alone."""

import json
import random
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stack.pipelines.base import Dropped
from stack.pipelines.errors import PipelineError
from stack.pipelines.labels.agreement import cohen_kappa, krippendorff_alpha
from stack.pipelines.labels.votes import Votes
from stack.pipelines.trail import About, LabelerRun, SourceFile, StageSaid, Tally, WrittenFile, card, describe, log_bins
from stack.pipelines.trail.counted import alpha, kappa, share_right

LABELS = ("negative", "neutral", "positive")
LABELERS = ("keywords", "llm", "people")


def records(count: int, seed: int = 7) -> dict[str, list[Any]]:
    """Records whose labelers are right three times in four, and sometimes silent."""
    draw = random.Random(seed)
    gold = [draw.choice(LABELS) for _ in range(count)]

    def cast() -> list[str | None]:
        return [None if draw.random() < 0.1 else truth if draw.random() < 0.75 else draw.choice(LABELS) for truth in gold]

    columns: dict[str, list[Any]] = {
        "record_id": [f"r{place}" for place in range(count)],
        "source": [draw.choice(("a", "b")) for _ in gold],
        "text": ["x" * int(draw.lognormvariate(4, 1)) for _ in gold],
        "language": [draw.choice(("id", "en", "")) for _ in gold],
        "gold": [truth if draw.random() < 0.8 else None for truth in gold],
        "label": cast(),
        "probability": [round(draw.random(), 6) for _ in gold],
        "split": [draw.choice(("train", "test")) for _ in gold],
    }
    for name in LABELERS:
        votes = cast()
        columns |= {f"{name}_label": votes, f"{name}_error": ["http_500" if vote is None and draw.random() < 0.5 else None for vote in votes]}
    return columns


def part(columns: dict[str, list[Any]], start: int, end: int) -> dict[str, list[Any]]:
    return {name: values[start:end] for name, values in columns.items()}


def counted(columns: dict[str, list[Any]]) -> Tally:
    tally = Tally(LABELERS)
    tally.add(columns)
    return tally


COLUMNS = records(600)
WHOLE = counted(COLUMNS)


def test_however_records_are_cut_and_in_whatever_order_shards_merge_the_tally_is_the_same_byte_for_byte() -> None:
    parts = [counted(part(COLUMNS, start, end)) for start, end in ((0, 1), (1, 250), (250, 600))]
    for order in permutations(parts):
        merged = Tally(LABELERS)
        for each in order:
            merged.merge(each)
        assert json.dumps(merged.as_json()) == json.dumps(WHOLE.as_json())


def test_a_tally_survives_its_json() -> None:
    again = Tally.from_json(json.loads(json.dumps(WHOLE.as_json())))
    assert again == WHOLE
    with pytest.raises(PipelineError, match="tally cannot be read"):
        Tally.from_json({**WHOLE.as_json(), "format": "stackproof/tally/0"})


def test_a_table_counts_as_its_columns_do() -> None:
    tally = Tally(LABELERS)
    tally.add(pa.table(COLUMNS))
    assert tally == WHOLE


def test_what_was_counted_is_what_is_there() -> None:
    assert WHOLE.records == 600
    assert WHOLE.languages == {code: COLUMNS["language"].count(code) for code in ("id", "en", "")}
    assert list(WHOLE.languages) == [*sorted(("id", "en"), key=COLUMNS["language"].count, reverse=True), ""]
    assert WHOLE.label_balance[""] == COLUMNS["label"].count(None)
    assert WHOLE.votes["llm", "failed"] == 600 - COLUMNS["llm_error"].count(None)
    assert WHOLE.votes["llm", "voted"] + WHOLE.votes["llm", "abstained"] + WHOLE.votes["llm", "failed"] == 600
    lengths = [len(text) for text in COLUMNS["text"]]
    assert sum(each.records for each in WHOLE.length_bins) == 600
    for each in WHOLE.length_bins:
        assert each.records == sum(each.low <= length < each.high for length in lengths)


def test_agreement_told_from_counts_is_that_of_the_votes_themselves() -> None:
    votes = Votes.from_columns({name: COLUMNS[f"{name}_label"] for name in LABELERS}, LABELS)
    pairs, units = kappa(WHOLE.votes_of("keywords", "llm")), alpha(WHOLE.units)
    for counted_, cast in ((pairs, cohen_kappa(votes, "keywords", "llm")), (units, krippendorff_alpha(votes))):
        assert (counted_.value, counted_.low, counted_.high) == (cast.value, cast.low, cast.high)
        assert 0 < (cast.low or 0) < (cast.value or 0) < (cast.high or 0) < 1
    both = [(vote, truth) for vote, truth in zip(COLUMNS["llm_label"], COLUMNS["gold"], strict=True) if vote and truth]
    assert share_right(WHOLE.votes_of("llm", "gold")).value == sum(vote == truth for vote, truth in both) / len(both)


def test_a_published_table_gives_its_published_kappa() -> None:
    """Cohen 1960, table 1: two judges, three categories, 200 patients; kappa 0.492."""
    table = {("1", "1"): 88, ("1", "2"): 14, ("1", "3"): 18, ("2", "1"): 10, ("2", "2"): 40, ("2", "3"): 10, ("3", "1"): 2, ("3", "2"): 6, ("3", "3"): 12}
    assert kappa(table).value == pytest.approx(0.492, abs=5e-4)


def test_calibration_bins_tell_the_mean_probability_and_the_share_that_was_right() -> None:
    tally = Tally()
    tally.add({"text": ["a"] * 4, "gold": ["x", "x", "x", None], "label": ["x", "y", "x", "x"], "probability": [0.82, 0.88, 1.0, 0.5]})
    assert [(each.probability, each.share_right, each.records) for each in tally.reliability] == [(0.85, 0.5, 2), (1.0, 1.0, 1)]


def test_columns_that_are_not_there_stay_unknown() -> None:
    tally = Tally()
    tally.add({"record_id": ["a", "b"]})
    assert (tally.records, tally.length_bins, tally.gold_balance, tally.languages) == (2, [], {}, {"": 2})
    with pytest.raises(PipelineError, match="neither `record_id` nor `text`"):
        tally.add({"words": ["a"]})


def test_tallies_of_different_labelers_are_not_merged() -> None:
    with pytest.raises(PipelineError, match="keywords, llm, people and llm"):
        counted(COLUMNS).merge(Tally(("llm",)))


def test_memory_does_not_grow_with_the_records() -> None:
    more = Tally(LABELERS)
    for seed in range(5):
        more.add(records(600, seed))
    cells = sum(len(body) for body in more.as_json().values() if isinstance(body, list))
    assert more.records == 3000
    assert cells < 1.2 * sum(len(body) for body in WHOLE.as_json().values() if isinstance(body, list))


STAGES = (StageSaid("read", "d0", 1, "a.csv"), StageSaid("normalise", "d1", 1, "NFC"), StageSaid("near", "d2", 2, "drops near-duplicates"))


def summed(tally: Tally) -> Any:
    return describe(
        About("town", "Town", "1"),
        tally,
        sources=[SourceFile("a", "a.csv", "0" * 64, 620)],
        stages=STAGES,
        files=[WrittenFile("labels.parquet", "1" * 64, 10, "application/vnd.apache.parquet", 600)],
        columns={"record_id": "string", "label": "string"},
        labelers=[LabelerRun(name, "keywords", None, "d") for name in LABELERS],
        quarantined=3,
    )


def test_every_record_that_was_read_is_accounted_for_stage_by_stage() -> None:
    tally = counted(COLUMNS)
    tally.drop([Dropped("a", 1, "empty", stage="normalise")] * 5 + [Dropped("a", 2, "near_duplicate", stage="near")] * 10 + [Dropped("a", 3, "no_text")] * 2)
    dataset = summed(tally)
    runs = [(stage.kind, stage.records_in, stage.records_out, dict(stage.dropped)) for stage in dataset.stages]
    assert runs == [
        ("read", 617, 615, {"no_text": 2}),
        ("normalise", 615, 610, {"empty": 5}),
        ("near", 610, 600, {"near_duplicate": 10}),
    ]
    assert (dataset.read, dataset.labeled, dataset.dropped, dataset.quarantined, dataset.unaccounted) == (620, 600, 17, 3, 0)


def test_a_stage_that_the_pipeline_does_not_name_still_tells_its_drops() -> None:
    tally = counted(COLUMNS)
    tally.drop([Dropped("a", 1, "strange", stage="plugin")] * 17)
    assert [(stage.kind, stage.records_out) for stage in summed(tally).stages] == [("plugin", 600), ("read", 600), ("normalise", 600), ("near", 600)]


def test_the_card_is_plain_data_that_json_takes(tmp_path: Path) -> None:
    plain = json.loads(json.dumps(card(summed(WHOLE))))
    assert plain["labeled"] == 600
    assert set(plain["kappa"]) >= {"keywords/llm", "llm/gold", "label/gold"}
    assert plain["unaccounted"] == 17
    assert sum(cell["records"] for cell in plain["confusion"]) == sum(bool(a and b) for a, b in zip(COLUMNS["gold"], COLUMNS["label"], strict=True))


def test_bins_of_lengths_keep_empty_ones_inside_and_none_outside() -> None:
    bins = log_bins({0: 1, 20: 2})
    assert (bins[0].low, bins[-1].low <= 20 < bins[-1].high) == (0, True)
    assert [each.high for each in bins[:-1]] == [each.low for each in bins[1:]]
    assert sum(each.records for each in bins) == 3
