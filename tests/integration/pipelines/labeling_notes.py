"""Sixty short notes and the pipeline that labels them."""

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
