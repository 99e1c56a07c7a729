"""Near-deduplication on planted duplicates: recall per edit level, precision, records per CPU second, memory of the decision.

    .venv/bin/python benchmarks/near_duplicates.py [--records 20000] [--million]

Three corpora: `letters` of 40 to 150 and `messages` of 12 to 30 words, drawn from 8,000 invented words with Zipf frequencies
(Mandelbrot's 1 / (rank + 2.7)), two letters in three starting with one of 20 phrases that letters share; and the English and Indonesian
records of `nusax` that come with the project (4 to 75 words). A fifth of the records (of nusax: three in four) are copies of others with
2, 5 or 10 % of the words replaced, dropped or swapped, at least one. Recall: copies that end with the same kept record as their
original; precision: dropped records whose kept record is of the same original. Exact deduplication stands beside it.
Bar: recall >= 0.95 at each level and precision >= 0.99.
"""

import argparse
import csv
import itertools
import platform
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.pipelines.base import Batch, DatasetStage, Work
from stack.pipelines.dedup import ExactDedup, NearDedup
from stack.pipelines.load import LIBRARY

LEVELS = (0.02, 0.05, 0.10)
COPIES = 0.2
NUSAX = LIBRARY.parent / "data" / "nusax"
SHARD = 1000
WORK = Work(Path())
SYLLABLES = ("ka", "to", "mi", "re", "lan", "dor", "pes", "vin", "tar", "gol", "sa", "ne", "qui", "ber", "mon", "ul", "ist", "ra", "con", "pro", "ment", "al")


@dataclass(frozen=True)
class Corpus:
    """`origin` is the position of the record a text was copied from (its own if it is none), `level` how much of it was changed."""

    texts: list[str]
    origin: list[int]
    level: list[float | None]


@dataclass(frozen=True)
class Scores:
    recall: dict[float, float]
    precision: float
    dropped: int
    sketch_cpu_s: float
    decide_cpu_s: float


class Writer:
    """Draws texts; the same seed gives the same texts."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.words = ["".join(self.random.choices(SYLLABLES, k=self.random.choice((1, 2, 2, 3, 3, 4)))) for _ in range(8000)]
        self.weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(len(self.words))))
        self.openings = [self.some(10) for _ in range(20)]

    def some(self, count: int) -> list[str]:
        return self.random.choices(self.words, cum_weights=self.weights, k=count)

    def letter(self) -> list[str]:
        opening = self.random.choice(self.openings) if self.random.random() < 2 / 3 else []
        return opening + self.some(self.random.randint(40, 150) - len(opening))

    def edited(self, words: list[str], level: float) -> list[str]:
        words = list(words)
        for at in sorted(self.random.sample(range(len(words)), max(1, round(level * len(words)))), reverse=True):
            match self.random.choice(("replace", "replace", "drop", "swap")):
                case "replace":
                    words[at] = self.some(1)[0]
                case "drop":
                    del words[at]
                case "swap" if at:
                    words[at - 1], words[at] = words[at], words[at - 1]
        return words


def letters(seed: int, count: int) -> list[list[str]]:
    writer = Writer(seed)
    return [writer.letter() for _ in range(count)]


def messages(seed: int, count: int) -> list[list[str]]:
    writer = Writer(seed)
    return [writer.some(writer.random.randint(12, 30)) for _ in range(count)]


def nusax(_seed: int, count: int) -> list[list[str]]:
    rows = [row["text"] for name in ("english.csv", "indonesian.csv") for row in csv.DictReader((NUSAX / name).open(encoding="utf-8-sig", newline=""))]
    return [text.split() for text in rows[:count]]


CORPORA: dict[str, Callable[[int, int], list[list[str]]]] = {"letters": letters, "messages": messages, "nusax": nusax}


def planted(originals: list[list[str]], *, copies: int, seed: int) -> Corpus:
    """Originals, then copies, three levels in turn; shuffled so that a copy may come before its original."""
    writer = Writer(seed)
    rows: list[tuple[list[str], int, float | None]] = [(words, at, None) for at, words in enumerate(originals)]
    for number in range(copies):
        of, level = writer.random.randrange(len(originals)), LEVELS[number % len(LEVELS)]
        rows.append((writer.edited(originals[of], level), of, level))
    writer.random.shuffle(rows)
    return Corpus([" ".join(words) for words, _, _ in rows], [of for _, of, _ in rows], [level for _, _, level in rows])


def scores(corpus: Corpus, stage: DatasetStage) -> Scores:
    """What the stage found, by the planted truth."""
    began = time.process_time()
    sketches = [stage.sketch(batch, WORK) for batch in batches(corpus.texts)]
    sketched = time.process_time()
    decisions = list(stage.decide(sketches, WORK))
    decided = time.process_time()
    kept_instead = {number * SHARD + row: int(detail) for number, said in enumerate(decisions) for row, (_, detail) in said.drop.items()}
    original_at = {of: at for at, (of, level) in enumerate(zip(corpus.origin, corpus.level, strict=True)) if level is None}
    root = [kept_instead.get(at, at) for at in range(len(corpus.texts))]
    found: dict[float, list[bool]] = {level: [] for level in LEVELS}
    for at, level in enumerate(corpus.level):
        if level is not None:
            found[level].append(root[at] == root[original_at[corpus.origin[at]]])
    right = [corpus.origin[at] == corpus.origin[kept] for at, kept in kept_instead.items()]
    recall = {level: sum(hits) / len(hits) for level, hits in found.items()}
    return Scores(recall, sum(right) / len(right) if right else 1.0, len(right), sketched - began, decided - sketched)


def batches(texts: list[str]) -> Iterator[Batch]:
    for start in range(0, len(texts), SHARD):
        part = texts[start : start + SHARD]
        yield Batch({"record_id": [str(start + row) for row in range(len(part))], "text": part})


def million() -> str:
    """Peak of the resident set over a million texts of 12 words, a tenth of them said before; sketches are held, texts are not."""
    writer, stage = Writer(5), NearDedup()
    before_mb = peak_mb()
    sketches, last = [], writer.some(12)
    for start in range(0, 1_000_000, SHARD):
        texts = []
        for row in range(SHARD):
            last = last if row % 10 == 9 else writer.some(12)
            texts.append(" ".join(last))
        sketches.append(stage.sketch(Batch({"record_id": [f"{start + row:032x}" for row in range(SHARD)], "text": texts}), WORK))
    sketched_mb, began = peak_mb(), time.process_time()
    dropped = sum(len(said.drop) for said in stage.decide(sketches, WORK))
    took = time.process_time() - began
    peaks = f"{before_mb:.0f} MiB before, {sketched_mb:.0f} with all sketches, {peak_mb():.0f} after deciding"
    return f"a million records: peak {peaks}; {took:.1f} CPU s to decide; {dropped} dropped"


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--million", action="store_true", help="measure the memory of a million short records too")
    arguments = parser.parse_args()
    print(f"command: python {' '.join(sys.argv)}; Python {platform.python_version()}, {platform.machine()}")
    met = True
    for kind, make in CORPORA.items():
        originals = make(1, round(arguments.records * (1 - COPIES)))
        corpus = planted(originals, copies=600 if kind == "nusax" else arguments.records - len(originals), seed=1)
        words = sum(len(text.split()) for text in corpus.texts) / len(corpus.texts)
        print(f"{kind}: {len(corpus.texts)} records of {words:.0f} words")
        for name, stage in {"rensa": NearDedup(), "numpy": NearDedup(engine="numpy"), "exact": ExactDedup()}.items():
            found = scores(corpus, stage)
            levels = ", ".join(f"{level:.0%} {recall:.4f}" for level, recall in found.recall.items())
            rates = f"{len(corpus.texts) / found.sketch_cpu_s:.0f} records per CPU second to sketch, {len(corpus.texts) / found.decide_cpu_s:.0f} to decide"
            print(f"  {name}: recall {levels}; precision {found.precision:.4f} of {found.dropped}; {rates}")
            met &= name == "exact" or (min(found.recall.values()) >= 0.95 and found.precision >= 0.99)
    print("bar (recall >= 0.95 at precision >= 0.99): " + ("met" if met else "MISSED"))
    if arguments.million:
        print(million())
    sys.exit(not met)


if __name__ == "__main__":
    main()
