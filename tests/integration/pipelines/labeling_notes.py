"""Sixty short notes, the pipeline that labels them, and what a run of it has committed."""

import json
from pathlib import Path

TEXTS = [f"note {number} is {'good' if number % 3 else 'bad'}" for number in range(60)]

PIPELINE = """
name: notes
title: Notes
labels: ["yes", "no"]
stages:
  - kind: read
    sources: [{name: notes, path: notes.jsonl, format: jsonl, gold: gold, licence: CC0-1.0, origin: written for this test}]
  - kind: dedup
  - kind: label
    shard_records: 6
    labelers:
      - {kind: keywords, name: words, lexicon: {"yes": [good], "no": [bad]}}
      - {kind: llm, name: model, prompt: "{text}", concurrency: 8, attempts: 3}
  - kind: aggregate
  - kind: evaluate
  - kind: write
"""


def committed(out: Path) -> list[int]:
    """Label shards with a whole line in the manifest; a line without its end is not yet one."""
    path = out / "manifest.jsonl"
    whole = [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if path.exists() else []
    return [line["shard"] for line in whole if (line["phase"], line["part"]) == ("label", "shard")]


def dataset(out: Path) -> dict[str, bytes]:
    """All that a run makes, but for what tells of the run: its log, its lock, Ray's logs, and the order in which answers came."""
    apart = {".lock", "openlineage.jsonl"}
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in apart and not {"logs", "answers"} & set(path.parts)]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}
