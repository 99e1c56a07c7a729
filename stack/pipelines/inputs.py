"""What a run starts from: the sources' files, their hashes, and the pieces they are cut into (edge)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stack.pipelines.markers import Read
from stack.pipelines.readers import Source, Split, plan_splits
from stack.pipelines.readers.files import list_files, open_file

CHUNK = 1 << 20
HOW_FAST = {"licence", "origin", "credit", "consent", "path"}
"""Fields of a source that say nothing of what is read; the path stands in the file's hash."""


@dataclass(frozen=True)
class Input:
    """One source: its files with SHA-256 and its splits in order. `files` are by name within the source, without the folder."""

    source: Source
    splits: tuple[Split, ...]
    files: dict[str, str]
    """Path to SHA-256."""

    @property
    def records(self) -> int:
        return sum(split.rows for split in self.splits)

    @property
    def sha256(self) -> str:
        """Of the one file, or over the hashes of several in order."""
        hashes = list(self.files.values())
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def address(self, split: Split) -> dict[str, Any]:
        """All that decides what reading the split gives."""
        how = self.source.model_dump(mode="json", exclude=HOW_FAST)
        where = [split.format, split.compression, split.first_row, split.rows, split.start, split.end, list(split.groups)]
        return {"how": how, "files": [[path.rsplit("/", 1)[-1], self.files[path]] for path in split.paths], "where": where}


def find_inputs(read: Read, *, shard_records: int | None = None) -> list[Input]:
    """PipelineError when a file, a named column or a package is missing."""
    return [_find(source, shard_records or read.shard_records) for source in read.sources]


def splits_of(inputs: Sequence[Input]) -> list[tuple[Input, Split]]:
    return [(each, split) for each in inputs for split in each.splits]


def _find(source: Source, records: int) -> Input:
    files = {path: _sha256(source, path) for path in list_files(source)}
    return Input(source, tuple(plan_splits(source, records=records)), files)


def _sha256(source: Source, path: str) -> str:
    digest = hashlib.sha256()
    with open_file(source, path) as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
