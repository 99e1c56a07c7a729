"""Export for, and import from, other labeling tools' files (edge around label_studio.py and argilla.py)."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from stack.pipelines.errors import PipelineError
from stack.pipelines.review import argilla, label_studio
from stack.pipelines.review.decisions import Kind, ReviewState, fold
from stack.pipelines.review.log import REVIEWS, ReviewLog, open_log, read_decisions
from stack.pipelines.review.outcome import outcomes
from stack.pipelines.review.queue import Dataset, read_dataset
from stack.pipelines.review.told import Told
from stack.runtime.files import atomic_path, write_atomic

Tool = Literal["label-studio", "argilla"]
MAX_NAMED = 20
"""Examples that are kept of each kind of fault; all are counted."""


@dataclass
class Imported:
    """What an import did: decisions added, those already there, and what was left out or stood out, by reason, with examples."""

    added: int = 0
    unchanged: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, reason: str, example: str) -> None:
        self.faults[reason] = self.faults.get(reason, 0) + 1
        if len(named := self.examples.setdefault(reason, [])) < MAX_NAMED:
            named.append(example)

    def as_dict(self) -> dict[str, Any]:
        return {"added": self.added, "unchanged": self.unchanged, "faults": self.faults, "examples": self.examples}


def export_reviews(out: Path, to: Literal["label-studio", "argilla", "jsonl"], file: Path) -> tuple[Path, ...]:
    """Write the dataset, most in need first, for a tool; the files written: records, and the tool's own set-up beside them.

    label-studio: tasks with predictions, and the labeling interface as .xml. argilla: records with suggestions, and the
    settings as .settings.json. jsonl: one record a line with every vote and what the people said.
    """
    dataset = read_dataset(out)
    if to == "jsonl":
        state = fold(read_decisions(out / REVIEWS), dataset.text_digests)
        _write(file, (json.dumps(row, ensure_ascii=False) for row in _rows(dataset, state)), before="", between="\n", after="\n")
        return (file,)
    make: Callable[[Any], dict[str, Any]] = label_studio.task if to == "label-studio" else argilla.record
    _write(file, (json.dumps(make(item), ensure_ascii=False) for item in dataset.items), before="[\n", between=",\n", after="\n]\n")
    if to == "label-studio":
        beside = file.with_suffix(".xml")
        write_atomic(beside, label_studio.interface(dataset.labels))
    else:
        beside = file.with_suffix(".settings.json")
        write_atomic(beside, json.dumps(argilla.settings(dataset.labels), ensure_ascii=False, indent=2) + "\n")
    return (file, beside)


def import_reviews(out: Path, source: Tool, file: Path) -> Imported:
    """Append a tool's decisions to the log, each once however often it is imported; PipelineError when the file is not that tool's."""
    dataset = read_dataset(out)
    rows = _read_list(file)
    read = label_studio.read if source == "label-studio" else argilla.read
    done = Imported()
    with open_log(out) as log:
        _append(log, dataset, [told for number, row in enumerate(rows) for told in read(row, number)], done)
    return done


def _append(log: ReviewLog, dataset: Dataset, told: Sequence[Told], done: Imported) -> None:
    digests = dataset.text_digests
    probabilities = {item.record_id: item.probability for item in dataset.items}
    votes = {reviewer: fold(log.decisions).of(reviewer) for reviewer in {each.reviewer for each in told}}
    latest: dict[tuple[str, str], Told] = {}
    for each in told:
        fault = each.fault or _misfit(each, digests, dataset.labels)
        if fault:
            done.fault(fault, each.where)
            continue
        if each.score is not None and probabilities[each.record_id] is not None and not _same(each.score, probabilities[each.record_id]):
            done.fault("score_changed", each.where)
        key = (each.reviewer, each.record_id)
        if key not in latest or _when(each.at) >= _when(latest[key].at):
            latest[key] = each
    for (reviewer, record_id), each in latest.items():
        old = votes[reviewer].get(record_id)
        if old is not None and (old.label, old.note, old.text_sha256) == (each.label, each.note, digests[record_id]):
            done.unchanged += 1
            continue
        log.append(kind=Kind.VOTE, record_id=record_id, text_sha256=digests[record_id], reviewer=reviewer, label=each.label, note=each.note, at=each.at)
        done.added += 1


def _misfit(told: Told, digests: dict[str, str], labels: Sequence[str]) -> str | None:
    if told.record_id not in digests:
        return "unknown_record"
    if told.text_sha256 is not None and told.text_sha256 != digests[told.record_id]:
        return "text_changed"
    return None if told.label in labels else "unknown_label"


def _same(a: float, b: float | None) -> bool:
    """A score that went through JSON and a database column of single precision is still the same."""
    return b is not None and abs(a - b) <= 1e-6


def _when(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0


def _rows(dataset: Dataset, state: ReviewState) -> Iterator[dict[str, Any]]:
    people, votes = outcomes(state), state.votes()
    for item in dataset.items:
        said = people.get(item.record_id)
        yield {
            "record_id": item.record_id,
            "text": item.text,
            "language": item.language,
            "source": item.source,
            "gold": item.gold,
            "labelers": item.votes,
            "label": item.label,
            "probability": item.probability,
            "people": None if said is None else {"label": said.label, "by": said.by, "agreement": said.agreement, "settled": said.settled},
            "reviews": {who: {"label": vote.label, "note": vote.note, "at": vote.at.isoformat()} for who, vote in votes.get(item.record_id, {}).items()},
        }


def _write(file: Path, parts: Iterator[str], *, before: str, between: str, after: str) -> None:
    try:
        with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8") as stream:
            stream.write(before)
            for number, part in enumerate(parts):
                stream.write((between if number else "") + part)
            stream.write(after)
    except OSError as error:
        raise PipelineError(f"FILE {file} cannot be written: {error.strerror}") from None


def _read_list(file: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(file.read_bytes())
    except OSError as error:
        raise PipelineError(f"FILE {file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise PipelineError(f"FILE {file} is not JSON: export it as JSON") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise PipelineError(f"FILE {file} is not a list of objects: export it as JSON")
    return rows
