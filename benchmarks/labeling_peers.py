"""The cleaning of benchmarks/labeling.py in Ray Data and in datatrove; started by it, never by hand.

    python benchmarks/labeling_peers.py ray-data|datatrove|datatrove-own '{"warm": DIR, "corpus": DIR, "out": DIR, "workers": 2}'

The last line of stdout is JSON. Both peers are given the project's own functions, a batch at a time, so that what is compared is what moves
the records; `datatrove-own` is datatrove with its own PII formatter (e-mail and IP address, no cards) and no hash. The corpus is a folder of
CSV files, which is how both read in parallel. None of them commits, syncs or documents what it writes, and none reads the file twice.
"""

import argparse
import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BATCH = 1000
KINDS = ("email", "card")


def clean(texts: list[str], source: str) -> dict[str, list[Any]]:
    """Normalised and masked texts with their ids and the hash of what was read, as the stages of the pipeline give them."""
    from stack.pipelines.base import Batch, Work
    from stack.pipelines.pii import Pii
    from stack.pipelines.shards import record_id
    from stack.pipelines.text import Normalise

    ids = [record_id(source, row, text) for row, text in enumerate(texts)]
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    columns: dict[str, list[Any]] = {"record_id": ids, "source": [source] * len(ids), "row": list(range(len(ids))), "record_sha256": hashes, "text": texts}
    batch, work = Batch(columns), Work(Path())
    Normalise().apply(batch, work)
    Pii(kinds=KINDS).apply(batch, work)
    return batch.columns


def ray_data(job: dict[str, Any]) -> dict[str, float]:
    """`read_csv`, `map_batches`, `write_parquet`; the cluster's start and a first small dataset are the start."""
    from stack.runtime.ray_cluster import LocalRay

    def on_table(table: Any) -> Any:
        import pyarrow

        return pyarrow.table(clean(table.column("text").to_pylist(), "bench"))

    def once(corpus: str, out: str) -> float:
        import ray

        begun = time.perf_counter()
        ray.data.read_csv(corpus).map_batches(on_table, batch_format="pyarrow", zero_copy_batch=True).write_parquet(out)
        return time.perf_counter() - begun

    begun = time.perf_counter()
    with LocalRay(logs=Path(job["out"]) / "logs", cpus=job["workers"]) as cluster:
        cluster.start()
        import ray

        ray.data.DataContext.get_current().enable_progress_bars = False
        once(job["warm"], f"{job['out']}/warm")
        start_s = time.perf_counter() - begun
        return {"start_s": start_s, "whole_s": once(job["corpus"], f"{job['out']}/data"), "read": rows_in(f"{job['out']}/data")}


def datatrove(job: dict[str, Any], *, own: bool) -> dict[str, float]:
    """One task per file, `workers` at a time. Its processes are new for each run, so a run over little is the start and is taken off."""
    from datatrove.data import Document, DocumentsPipeline  # type: ignore[import-not-found]
    from datatrove.executor import LocalPipelineExecutor  # type: ignore[import-not-found]
    from datatrove.pipeline.base import PipelineStep  # type: ignore[import-not-found]
    from datatrove.pipeline.formatters import PIIFormatter  # type: ignore[import-not-found]
    from datatrove.pipeline.readers.csv import CsvReader  # type: ignore[import-not-found]
    from datatrove.pipeline.writers import ParquetWriter  # type: ignore[import-not-found]

    class Clean(PipelineStep):  # type: ignore[misc]
        name = "clean"

        def run(self, data: DocumentsPipeline, _rank: int = 0, _world_size: int = 1) -> DocumentsPipeline:
            for held in in_batches(data):
                done = clean([document.text for document in held], "bench")
                for document, text, key, digest in zip(held, done["text"], done["record_id"], done["record_sha256"], strict=True):
                    document.text, document.id = text, key
                    document.metadata["record_sha256"] = digest
                    yield document

    def in_batches(data: Iterator[Document]) -> Iterator[list[Document]]:
        held: list[Document] = []
        for document in data:
            held.append(document)
            if len(held) == BATCH:
                yield held
                held = []
        if held:
            yield held

    def once(corpus: str, out: str) -> float:
        begun = time.perf_counter()
        files = len(list(Path(corpus).glob("*.csv")))
        steps = [CsvReader(corpus), PIIFormatter() if own else Clean(), ParquetWriter(out)]
        LocalPipelineExecutor(steps, tasks=files, workers=job["workers"], logging_dir=f"{out}-logs").run()
        return time.perf_counter() - begun

    start_s = once(job["warm"], f"{job['out']}/warm")
    return {"start_s": start_s, "whole_s": once(job["corpus"], f"{job['out']}/data") - start_s, "read": rows_in(f"{job['out']}/data")}


def rows_in(folder: str) -> int:
    """That nothing was lost."""
    import pyarrow.parquet

    return sum(pyarrow.parquet.read_metadata(path).num_rows for path in Path(folder).glob("*.parquet"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("ray-data", "datatrove", "datatrove-own"))
    parser.add_argument("job", type=json.loads)
    parser.add_argument("--also", action="append", default=[], help="where the project and what it needs lie, for a Python that has its own packages")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.path += chosen.also
    result = ray_data(chosen.job) if chosen.peer == "ray-data" else datatrove(chosen.job, own=chosen.peer == "datatrove-own")
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
