"""What earlier runs kept: record ids and signatures in one Parquet file, oldest first."""

import fcntl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stack.pipelines.dedup.clusters import near_pairs
from stack.pipelines.dedup.columns import byte_matrix
from stack.pipelines.dedup.minhash import Signatures, band_key, band_rows
from stack.pipelines.errors import PipelineError
from stack.runtime.files import atomic_path

SETTINGS = b"minhash"
ROUNDS = 16
"""Entries tried per band, oldest first: it bounds the work where many share a band by chance."""


@dataclass(frozen=True)
class NearIndex:
    """`settings` says how the signatures were made; a file made otherwise is refused. Bands are worked out from the signatures."""

    path: Path
    settings: str
    width: int

    def read(self) -> pa.Table:
        schema = pa.schema({"record_id": pa.string(), "signature": pa.binary(self.width)}, {SETTINGS: self.settings.encode()})
        if not self.path.exists():
            return schema.empty_table()
        try:
            with self.path.open("rb") as stream:  # one opening: another run may put a new file in its place
                table = pq.ParquetFile(stream).read()
        except (pa.ArrowException, OSError) as fault:
            raise PipelineError(f"field `index`: {self.path.name} is not an index of near_dedup ({fault}); name another file") from fault
        made = (table.schema.metadata or {}).get(SETTINGS, b"").decode()
        if made != self.settings:
            raise PipelineError(f"field `index`: {self.path.name} was made with `{made}`, this stage says `{self.settings}`; name another file")
        return table.cast(schema)

    def add(self, kept: Sequence[pa.Table]) -> int:
        """Append the records it does not hold yet, and say how many; two runs that add at once wait for one another."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            table = self.read()
            new = pa.concat_tables([table.slice(0, 0), *(part.select(table.schema.names).cast(table.schema) for part in kept)])
            new = new.filter(pa.array(~holds(table, new.column("record_id"))))
            if new.num_rows or not self.path.exists():
                with atomic_path(self.path) as temporary:
                    pq.write_table(pa.concat_tables([table, new]), temporary)
            return int(new.num_rows)


def holds(entries: pa.Table, ids: pa.ChunkedArray) -> NDArray[np.bool_]:
    """For each id whether an entry has it."""
    found: NDArray[np.bool_] = pc.is_in(ids, value_set=entries.column("record_id").combine_chunks()).to_numpy(zero_copy_only=False)
    return found.astype(bool)


def first_marked(roots: NDArray[np.int64], marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each position that of its set's first marked member, or of its first member where none is marked. `roots` are first members."""
    keeper = np.arange(len(roots))
    rows = np.flatnonzero(marked)[::-1]
    keeper[roots[rows]] = rows  # from the last to the first: the first one stays
    return keeper[roots]


def near_entries(entries: pa.Table, matrix: Signatures, rows: NDArray[np.int64], ids: pa.ChunkedArray, threshold: float) -> dict[int, str]:
    """Of the positions `rows` of `matrix`, those near an entry, with the oldest such entry's id. Records that are entries are left out."""
    rows = rows[~holds(entries, ids)[rows]]
    width = matrix.shape[1]
    known = byte_matrix([entries], "signature", width)
    best = np.full(len(rows), len(known), np.int64)
    per_band = band_rows(threshold, width)
    for band in range(width // per_band):
        keys = band_key(known, band, per_band)
        order = np.argsort(keys, kind="stable")
        mine = band_key(matrix[rows], band, per_band)
        low, high = np.searchsorted(keys[order], mine, "left"), np.searchsorted(keys[order], mine, "right")
        for step in range(min(ROUNDS, int((high - low).max(initial=0)))):
            tried = np.flatnonzero(low + step < high)
            found = order[low[tried] + step]
            alike = near_pairs(known, found, matrix, rows[tried], threshold)
            np.minimum.at(best, tried[alike], found[alike])
    names = entries.column("record_id")
    return {int(row): names[int(at)].as_py() for row, at in zip(rows, best, strict=True) if at < len(known)}
