"""One Ray session and a folder of notes for the labeling tests."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import KEY
from labeling_notes import PIPELINE, TEXTS

from stack.pipelines.ray_executor import RayExecutor


@pytest.fixture(scope="session")
def ray_executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayExecutor]:
    """Started by its first task, stopped with the session."""
    with RayExecutor(logs=tmp_path_factory.mktemp("ray") / "logs") as executor:
        yield executor


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder with a pipeline, its source and the server's key; returns the pipeline file."""
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"text": text, "gold": "yes"}) + "\n" for text in TEXTS))
    (tmp_path / "key").write_text(KEY + "\n")
    path = tmp_path / "notes.yaml"
    path.write_text(PIPELINE)
    return path
