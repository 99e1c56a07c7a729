"""What an output folder has committed: one synced line per shard and per decision (edge)."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from stack.evidence import canonical_json
from stack.pipelines.base import Frozen
from stack.runtime.files import sha256_file, sync, write_atomic

MANIFEST, WORK, ANSWERS = "manifest.jsonl", "work", "answers"


Key = tuple[str, str, int]
"""Phase, part, shard."""


class Line(Frozen):
    """One line of `manifest.jsonl`; shards and decisions are folders under `work/`."""

    phase: str = Field(pattern=r"^[a-z0-9_-]+$")
    part: Literal["shard", "decision"]
    shard: int = Field(ge=0)
    address: str = Field(description="SHA-256 of all that decides the content: stages, model, and what went in")
    sha256: str = Field(description="Of the folder: names and hashes of its files")
    read: int = Field(default=0, description="Records that went in, bad ones counted")
    records: int = Field(default=0, description="Records that came out")
    tokens: int = Field(default=0, description="Engine tokens paid for, by the endpoint's usage")

    @property
    def key(self) -> Key:
        return self.phase, self.part, self.shard


class Manifest:
    """One writer at a time: the run that holds the folder's lock."""

    def __init__(self, out: Path) -> None:
        self.path = out / MANIFEST
        self.work, self.answers = out / WORK, out.resolve() / ANSWERS
        self.work.mkdir(parents=True, exist_ok=True)
        self.answers.mkdir(exist_ok=True)
        self._earlier = {line.key: line for line in self._read()}
        self._current: dict[Key, Line] = {}
        # Written anew, so that a line cut short by a crash does not spoil the next one.
        self._write(self._earlier.values())

    def place(self, key: Key) -> Path:
        phase, part, shard = key
        return self.work / phase / (f"shard-{shard:05d}" if part == "shard" else "decision")

    def current(self, key: Key) -> Line:
        """What this run has committed or taken over there."""
        return self._current[key]

    def take_over(self, key: Key, address: str) -> bool:
        """Keep what an earlier run committed there, if it is whole and has that address."""
        line, place = self._earlier.get(key), self.place(key)
        if line is None or line.address != address or not place.is_dir() or folder_digest(place) != line.sha256:
            return False
        self._current[key] = line
        return True

    def commit(self, temporary: Path, line: Line) -> None:
        """Rename, then one synced line: a crash between the two leaves a folder that is simply made again."""
        place = self.place(line.key)
        if place.exists():
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(place)
        sync(place.parent)
        with self.path.open("ab") as stream:
            stream.write(_encoded(line))
        sync(self.path)
        self._current[line.key] = line

    def finish(self) -> list[Line]:
        """The lines of this run in their order, the file rewritten so; folders that no line names are removed."""
        self._write(self.lines)
        kept = {self.place(key) for key in self._current}
        for phase in self.work.iterdir():
            for folder in list(phase.iterdir()) if phase.is_dir() else []:
                if folder not in kept:
                    shutil.rmtree(folder, ignore_errors=True)
            if phase.is_dir() and not any(phase.iterdir()):
                phase.rmdir()
        return self.lines

    @property
    def lines(self) -> list[Line]:
        """By phase in the order of the pipeline, its shards in order, then its decision."""
        order = {phase: place for place, phase in enumerate(dict.fromkeys(line.phase for line in self._current.values()))}
        return sorted(self._current.values(), key=lambda line: (order[line.phase], line.part == "decision", line.shard))

    def _read(self) -> list[Line]:
        if not self.path.exists():
            return []
        lines = []
        for raw in self.path.read_bytes().splitlines():
            try:
                lines.append(Line.model_validate_json(raw))
            except ValidationError:
                continue
        return lines

    def _write(self, lines: Iterable[Line]) -> None:
        write_atomic(self.path, b"".join(_encoded(line) for line in lines))


def folder_digest(folder: Path) -> str:
    """SHA-256 over names and hashes of all files below."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(canonical_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files])).hexdigest()


def _encoded(line: Line) -> bytes:
    return canonical_json(line.model_dump()) + b"\n"
