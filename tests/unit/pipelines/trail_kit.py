"""A small described dataset, and one whose every text tries to break out of its document."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from stack.evidence import canonical_json
from stack.pipelines.trail.described import (
    Described,
    Interval,
    LabelerRun,
    ReliabilityBin,
    SourceFile,
    StageRun,
    Statements,
    WrittenFile,
    log_bins,
)

HOSTILE = "</title><script>alert(1)</script>\"'&<svg onload=x>"

TABLE = pa.table(
    {
        "record_id": ["a1", "b2", "c3"],
        "row": pa.array([0, 1, 3], pa.int64()),
        "text": ["Bagus sekali", "Biasa saja", "Buruk \u2013 \u062c\u062f\u0627"],
        "label": ["positive", None, "negative"],
        # Exact in binary: pandas, which reads JSON Lines for the reference reader, rounds others by a last digit.
        "probability": pa.array([0.875, None, 0.75], pa.float64()),
        "kept": [True, False, True],
        "tags": pa.array([["x", "y"], [], ["z"]], pa.list_(pa.string())),
    }
)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def described(files: tuple[WrittenFile, ...] = ()) -> Described:
    """201 records of two languages, 12 dropped, 1 in quarantine."""
    return Described(
        name="town-messages",
        title="Messages to a town hall",
        version="1.0.0",
        description="Short messages with their sentiment.",
        sources=(
            SourceFile("ms", "ms.csv", sha("ms"), 121, "CC-BY-SA-4.0", "example.org/ms", "Town A", "public posts", "id", {"text": "body", "gold": "mood"}),
            SourceFile("en", "en.csv", sha("en"), 80, "MIT", language="en"),
        ),
        stages=(
            StageRun("normalise", sha("n"), 1, "Unicode NFC, one space between words", 200, 198, {"empty": 2}),
            StageRun("dedup", sha("d"), 2, "drops exact duplicates", 198, 188, {"duplicate": 10}),
            StageRun("label", sha("l"), 1, "two labelers", 188, 188),
        ),
        files=files or (WrittenFile("labels.parquet", sha("p"), 4096, "application/vnd.apache.parquet", 188),),
        columns=dict(zip(TABLE.schema.names, map(str, TABLE.schema.types), strict=True)),
        read=201,
        labeled=188,
        quarantined=1,
        languages={"id": 113, "en": 75},
        lengths=log_bins({3: 4, 12: 60, 40: 90, 160: 30, 900: 4}),
        label_balance={"positive": 90, "neutral": 40, "negative": 55, "": 3},
        gold_balance={"positive": 80, "neutral": 50, "negative": 58},
        labelers=(LabelerRun("keywords", "keywords", None, sha("k")), LabelerRun("llm", "llm", "SmolLM2-135M-Instruct", sha("q"))),
        votes={"keywords": {"voted": 188, "abstained": 0, "failed": 0}, "llm": {"voted": 180, "abstained": 5, "failed": 3}},
        agreement={"Krippendorff's alpha, all labelers": Interval(0.41, 0.33, 0.5)},
        kappa={("keywords", "llm"): Interval(-0.1, -0.2, 0.02), ("keywords", "gold"): Interval(0.5), ("llm", "gold"): Interval(None)},
        accuracy={"keywords": Interval(0.665, 0.597, 0.727), "label": Interval(0.6)},
        accuracy_by_language={"id": Interval(0.62, 0.53, 0.7), "en": Interval(0.57, 0.46, 0.68)},
        confusion={("positive", "positive"): 70, ("positive", "negative"): 10, ("negative", "negative"): 45, ("neutral", "positive"): 20},
        reliability=(ReliabilityBin(0.55, 0.5, 60), ReliabilityBin(0.9, 0.8, 128)),
        splits={"train": 150, "test": 38},
        command="stackproof label run town-messages --out out/labels",
        statements=Statements(purpose="To route messages to the right desk.", creators=("Town A",), personal_data="Names and telephone numbers are redacted."),
    )


def hostile() -> Described:
    """The same, with markup wherever a name or text goes."""
    dataset = described()
    return replace(
        dataset,
        title=HOSTILE,
        description=HOSTILE,
        sources=[replace(dataset.sources[0], name=HOSTILE, file=HOSTILE, licence=HOSTILE, origin=HOSTILE, credit=HOSTILE, consent=HOSTILE)],
        stages=[replace(dataset.stages[0], kind=HOSTILE, words=HOSTILE, dropped={HOSTILE: 2})],
        files=[replace(dataset.files[0], name=HOSTILE)],
        columns={HOSTILE: HOSTILE},
        languages={HOSTILE: 1},
        label_balance={HOSTILE: 1},
        gold_balance={HOSTILE: 1},
        labelers=[LabelerRun(HOSTILE, HOSTILE, HOSTILE, HOSTILE)],
        votes={HOSTILE: {HOSTILE: 1}},
        agreement={HOSTILE: Interval(0.5, 0.4, 0.6)},
        kappa={(HOSTILE, HOSTILE): Interval(0.5, 0.4, 0.6)},
        accuracy_by_language={HOSTILE: Interval(0.5)},
        accuracy={HOSTILE: Interval(0.5)},
        confusion={(HOSTILE, HOSTILE): 3},
        splits={HOSTILE: 1},
        command=HOSTILE,
        statements=Statements(HOSTILE, (HOSTILE,), HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    )


def write(folder: Path, name: str) -> WrittenFile:
    """TABLE as a file of the kind that its name says."""
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(TABLE, path)
        media_type = "application/vnd.apache.parquet"
    elif name.endswith(".csv"):
        pa_csv.write_csv(TABLE.drop_columns(["tags"]), path)
        media_type = "text/csv"
    else:
        path.write_bytes(b"".join(canonical_json(row) + b"\n" for row in TABLE.to_pylist()))
        media_type = "application/jsonl"
    return WrittenFile(name, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, media_type, TABLE.num_rows)
