"""What is to be reviewed, most in need first (read at the edge, ordered by a pure function)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stack.pipelines.errors import PipelineError
from stack.pipelines.review.decisions import text_sha256

LABELS = "labels.parquet"
VOTE_SUFFIX = "_label"


@dataclass(frozen=True)
class Item:
    """One record as a reviewer sees it; `votes` by labeler, None where it gave none."""

    record_id: str
    text: str
    source: str
    language: str
    gold: str | None
    votes: dict[str, str | None]
    label: str | None
    probability: float | None

    @property
    def text_sha256(self) -> str:
        return text_sha256(self.text)


@dataclass(frozen=True)
class Dataset:
    """Items in the order of need, and the labels to choose from."""

    items: tuple[Item, ...]
    labels: tuple[str, ...]

    @property
    def text_digests(self) -> dict[str, str]:
        return {item.record_id: item.text_sha256 for item in self.items}


def read_dataset(out: Path) -> Dataset:
    """labels.parquet of a dataset folder. PipelineError when it is not there, lacks a column or names no label."""
    path = out / LABELS
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError:
        raise PipelineError(f"OUT {out} has no {LABELS}: run `stackproof label run` into it first") from None
    except (OSError, pa.ArrowException) as error:
        raise PipelineError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if missing := {"record_id", "text"} - set(schema.names):
        raise PipelineError(f"{path} lacks the column {min(missing)}: it is not a dataset of `stackproof label run`")
    labelers = [name.removesuffix(VOTE_SUFFIX) for name in schema.names if name.endswith(VOTE_SUFFIX)]
    wanted = ["record_id", "text", "source", "language", "gold", "label", "probability", *(f"{name}{VOTE_SUFFIX}" for name in labelers)]
    rows = pq.read_table(path, columns=[name for name in wanted if name in schema.names]).to_pylist()
    items = tuple(sorted((_item(row, labelers) for row in rows), key=need))
    labels = _labels(schema.metadata or {}, items)
    if not labels:
        raise PipelineError(f"{path} names no label to choose from: neither its metadata nor a vote has one")
    return Dataset(items, labels)


def need(item: Item) -> tuple[float, float, str]:
    """Sort key: lowest probability (none at all comes first), then the labelers least of one mind, then the id."""
    return (-1.0 if item.probability is None else item.probability, -disagreement(tuple(item.votes.values())), item.record_id)


def disagreement(votes: Sequence[str | None]) -> float:
    """Share of the votes given that are not for the most frequent label; 0 without votes."""
    cast = Counter(vote for vote in votes if vote is not None)
    return 1 - max(cast.values()) / cast.total() if cast else 0.0


def _item(row: dict[str, object], labelers: Sequence[str]) -> Item:
    def word(name: str) -> str | None:
        value = row.get(name)
        return value if isinstance(value, str) else None

    probability = row.get("probability")
    return Item(
        record_id=word("record_id") or "",
        text=word("text") or "",
        source=word("source") or "",
        language=word("language") or "",
        gold=word("gold"),
        votes={name: word(f"{name}{VOTE_SUFFIX}") for name in labelers},
        label=word("label"),
        probability=float(probability) if isinstance(probability, int | float) else None,
    )


def _labels(metadata: dict[bytes, bytes], items: Sequence[Item]) -> tuple[str, ...]:
    """As the run wrote them, in its order; else those that occur, sorted."""
    named = metadata.get(b"labels", b"").decode()
    if named:
        return tuple(named.split("\n"))
    seen = {vote for item in items for vote in (*item.votes.values(), item.label, item.gold)}
    return tuple(sorted(label for label in seen if label))
