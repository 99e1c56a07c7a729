"""Stages that other packages add by entry point."""

import subprocess
import sys
from pathlib import Path

import pytest

from stack.pipelines.registry import GROUP, SHIPPED, kind_of, stage_classes

MODULE = """
from typing import Literal
from stack.pipelines.base import Batch, RecordStage, Work

class Shout(RecordStage):
    kind: Literal["shout"] = "shout"
    mark: str = "!"

    def in_words(self) -> str:
        return "capital letters"

    def apply(self, batch: Batch, work: Work) -> None:
        batch.columns["text"] = [text.upper() + self.mark for text in batch.texts]

class Again(Shout):
    kind: Literal["normalise"] = "normalise"
"""

PIPELINE = """
name: notes
title: Notes
stages:
  - kind: read
    sources: [{name: notes, path: notes.csv, licence: CC0-1.0, origin: written for this test}]
  - {kind: shout, mark: "?"}
  - {kind: write, format: csv}
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An installed package, as far as Python can tell."""
    (tmp_path / "shouting.py").write_text(MODULE)
    info = tmp_path / "shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (tmp_path / "notes.csv").write_text("text\nhello\n")
    (tmp_path / "notes.yaml").write_text(PIPELINE)
    return tmp_path


def run(package: Path, points: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (package / "shouting-1.0.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
    environment = {"PYTHONPATH": str(package), "PATH": "/usr/bin"}
    return subprocess.run(
        [sys.executable, "-m", "stack.cli.main", "label", *arguments], check=False, capture_output=True, text=True, timeout=60, env=environment
    )


@pytest.mark.slow
def test_a_stage_of_another_package_runs_by_its_name(package: Path) -> None:
    done = run(package, "shout = shouting:Shout", "run", str(package / "notes.yaml"), "--out", str(package / "out"), "--executor", "local")
    assert done.returncode == 0, done.stderr
    assert "HELLO?" in (package / "out" / "labels.csv").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("points", "told"), [("a = shouting:Again", "a stage of kind 'normalise' exists already"), ("a = shouting:Literal", "is not a Stage")])
def test_an_entry_point_that_cannot_be_used_is_named(package: Path, points: str, told: str) -> None:
    done = run(package, points, "plan", str(package / "notes.yaml"))
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_every_shipped_stage_says_what_it_does_and_has_a_name_of_its_own() -> None:
    assert len({kind_of(each) for each in SHIPPED}) == len(SHIPPED)
    assert set(SHIPPED) <= set(stage_classes())
    assert all(each.__doc__ for each in SHIPPED)
