"""A small pipeline to bend in tests."""

from typing import Any

TEXTS = ["good", "bad", "a chair", "good and good", "so bad", "a table", "good chair", "bad table"]


def document(**changes: Any) -> dict[str, Any]:
    """A valid pipeline file as plain data; `changes` replace stages by their kind, None removes one."""
    stages: dict[str, Any] = {
        "read": {"sources": [{"name": "notes", "path": "notes.csv", "gold": "gold", "licence": "CC0-1.0", "origin": "written for this test"}]},
        "normalise": {},
        "dedup": {},
        "label": {
            "shard_records": 3,
            "labelers": [
                {"kind": "keywords", "name": "words", "lexicon": {"yes": ["good"], "no": ["bad"]}},
                {"kind": "llm", "name": "model", "prompt": "{text}"},
            ],
        },
        "aggregate": {"method": "majority"},
        "evaluate": {},
        "write": {},
    }
    stages.update(changes)
    return {
        "name": "notes",
        "title": "Notes",
        "labels": ["yes", "no"],
        "stages": [{"kind": kind, **fields} for kind, fields in stages.items() if fields is not None],
    }


def words_only(**fields: Any) -> dict[str, Any]:
    """A label stage that asks no model."""
    return {"shard_records": 3, "labelers": [{"kind": "keywords", "name": "words", "lexicon": {"yes": ["good"], "no": ["bad"]}, **fields}]}
