"""How near endpoint labeling comes to what the load generator gets out of the same real engine with the same requests.

    .venv/bin/python benchmarks/labeling_real_engine.py [--records 240] [--turns 2] [--concurrency 16] [--executor local|ray]

Starts an engine and the gateway as `stackproof serve` does. In each turn `bench run` sends chat requests in closed loop (streamed), and
`label run` labels as many other records of the shipped transit-requests data with the same messages, choice constraint and concurrency; who goes
first changes from turn to turn, and no record is used twice, so that no cache answers. Output tokens are the engine's count. The rate of
labeling is over its label phase, commits and the start of its workers (with Ray) included. Bar: 90 %. Exit status 1 below it.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from bench.run import RunOptions, Watching, run_workload
from bench.workload import Workload
from stack.pipelines import ChatEndpoint, load_pipeline, open_executor, run_pipeline
from stack.pipelines.inputs import find_inputs
from stack.pipelines.labeling import Llm
from stack.pipelines.labeling.requests import messages
from stack.pipelines.readers import read_split
from stack.runtime.progress import Reporter
from stack.serving.chat import read_key
from stack.serving.session import Session, serve_session

BAR = 0.9
PIPELINE = "transit-requests"


def texts() -> list[str]:
    """Of the shipped records, each once."""
    pipeline = load_pipeline(PIPELINE)
    found = [row.text for each in find_inputs(pipeline.read) for split in each.splits for row in read_split(each.source, split)[0]]
    return list(dict.fromkeys(found))


def the_labeler(concurrency: int) -> tuple[Llm, tuple[str, ...]]:
    pipeline = load_pipeline(PIPELINE)
    assert pipeline.label is not None
    asker = next(each for each in pipeline.label.labelers if isinstance(each, Llm))
    return asker.model_copy(update={"concurrency": concurrency}), pipeline.labels


def by_bench(session: Session, some: list[str], folder: Path, concurrency: int) -> float:
    """Output tokens/s."""
    labeler, labels = the_labeler(concurrency)
    folder.mkdir()
    lines = [json.dumps({"messages": messages(labeler, text), "max_tokens": labeler.max_tokens}) for text in some]
    (folder / "chats.jsonl").write_text("\n".join(lines) + "\n")
    workload = Workload.model_validate(
        {
            "name": "labels",
            "model": session.model,
            "arrivals": {"kind": "concurrency", "streams": concurrency},
            "prompts": {"kind": "jsonl", "file": str(folder / "chats.jsonl"), "order": "file", "max_tokens": labeler.max_tokens, "salt": False},
            "extra_body": {"structured_outputs": {"choice": list(labels)}},
            "stop": {"requests": len(some)},
            "timeout_s": 120,
        }
    )
    options = RunOptions(watching=Watching(on=False), report=False)
    key = read_key(session.api_key_file)
    done = run_workload(workload, url=session.gateway_url, api_key=key, out=folder / "run", seed=1, reporter=Reporter(), options=options)
    rate = done.rates.output_tokens_per_s
    assert rate is not None
    return rate


def by_label(session: Session, some: list[str], folder: Path, concurrency: int, executor: str) -> float:
    """Output tokens/s."""
    labeler, labels = the_labeler(concurrency)
    folder.mkdir()
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in some))
    source = {"name": "texts", "path": "texts.jsonl", "licence": "MIT", "origin": PIPELINE}
    label = {"kind": "label", "shard_records": len(some) if executor == "local" else len(some) // 4, "labelers": [labeler.model_dump(mode="json")]}
    stages = [{"kind": "read", "sources": [source]}, label, {"kind": "aggregate", "method": "majority"}, {"kind": "write"}]
    (folder / "pipeline.yaml").write_text(yaml.safe_dump({"name": "texts", "title": "Texts", "labels": list(labels), "stages": stages}))
    endpoint = ChatEndpoint(session.gateway_url, session.model, session.api_key_file)
    with open_executor(executor, logs=folder / "logs") as workers:  # type: ignore[arg-type]
        done = run_pipeline(load_pipeline(str(folder / "pipeline.yaml")), folder / "out", executor=workers, endpoint=endpoint)
    assert done.statistics.failed == {labeler.name: 0}
    written = sum(pq.read_table(folder / "out" / "labels.parquet").column(f"{labeler.name}_completion_tokens").to_pylist())
    return float(written / done.spent.label_seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=240, help="per side and turn")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--executor", choices=("local", "ray"), default="local")
    asked = parser.parse_args()
    pool = texts()
    need = asked.records * asked.turns * 2
    if need > len(pool):
        parser.error(f"--records x --turns x 2 is {need}, the data has {len(pool)} different texts")
    sums = {"bench": 0.0, "label": 0.0}
    with tempfile.TemporaryDirectory(prefix="stackproof-labeling-") as name, serve_session(run_dir=Path(name) / "serve") as session:
        folder = Path(name)
        for turn in range(asked.turns):
            for side in ("bench", "label") if turn % 2 == 0 else ("label", "bench"):
                some, pool = pool[: asked.records], pool[asked.records :]
                place = folder / f"{side}-{turn}"
                rate = (
                    by_bench(session, some, place, asked.concurrency) if side == "bench" else by_label(session, some, place, asked.concurrency, asked.executor)
                )
                print(f"turn {turn + 1}: {side:5} {rate:8.2f} output tokens/s", flush=True)
                sums[side] += rate
    share = sums["label"] / sums["bench"]
    print(f"labeling reaches {share:.1%} of bench run's output tokens/s (bar {BAR:.0%})")
    return 0 if share >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
