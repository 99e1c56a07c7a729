"""`stackproof label`: from raw records to a labeled, documented dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stack.cli import label_review
from stack.cli.output import JsonOption, print_json, print_table
from stack.cli.places import EvidenceOption, writable_folder

if TYPE_CHECKING:
    from stack.pipelines import LabelingRun
    from stack.pipelines.trail import Interval

app = typer.Typer(no_args_is_help=True, help="Turn raw records into a labeled, documented dataset, and measure how good the labels are.")

PipelineArgument = Annotated[str, typer.Argument(metavar="PIPELINE", help="A YAML file, or the name of a shipped pipeline (`stackproof label list`).")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Take at most N records, evenly from the sources.")]


@app.command("list")
def list_pipelines(as_json: JsonOption = False) -> None:
    """Show the pipelines that come with stackproof."""
    from stack.pipelines import load_pipeline, shipped

    pipelines = [load_pipeline(name) for name in shipped()]
    if as_json:
        print_json([{"name": each.name, "title": each.title, "labels": list(each.labels)} for each in pipelines])
        return
    print_table(("pipeline", "title", "labels"), [(each.name, each.title, ", ".join(each.labels)) for each in pipelines])


@app.command()
def plan(pipeline: PipelineArgument, *, limit: LimitOption = None, as_json: JsonOption = False) -> None:
    """Validate a pipeline, read its sources and show what a run would do and cost. Nothing is labeled or written."""
    from stack.pipelines import load_pipeline, plan_run

    planned = plan_run(load_pipeline(pipeline), limit=limit)
    if as_json:
        print_json(planned.as_dict())
        return
    rows = [(each.stage, each.does, ", ".join(each.needs) or "-") for each in planned.stages]
    print_table(("stage", "does", "needs"), rows, title=planned.pipeline)
    for hint in planned.hints:
        typer.echo(f"hint: {hint}")
    typer.echo(f"records: {planned.records} in {planned.shards} shards; dropped: {_counts(planned.dropped)}")
    tokens = f"about {planned.prompt_tokens} read and at most {planned.max_completion_tokens} written"
    typer.echo(f"requests: {planned.requests}; engine tokens: {tokens} ({planned.method})")


@app.command()
def run(
    pipeline: PipelineArgument,
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", callback=writable_folder, help="Folder for the dataset. A run that was cut short goes on there.")
    ],
    url: Annotated[str | None, typer.Option("--url", help="Base address of the chat endpoint that model labelers ask, e.g. http://127.0.0.1:8080.")] = None,
    api_key_file: Annotated[Path | None, typer.Option("--api-key-file", metavar="FILE", help="File that holds the endpoint's API key.")] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM certificates to trust for https instead of the public authorities'.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model to ask for. Default: the first one the endpoint serves.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, metavar="N", help="Stop when labelers have used N engine tokens.")] = None,
    max_seconds: Annotated[float | None, typer.Option("--max-seconds", min=0.001, metavar="S", help="Stop asking labelers after S seconds.")] = None,
    executor: Annotated[Literal["ray", "local"], typer.Option("--executor", help="Run shards in Ray workers, or one after the other in this process.")] = "ray",
    limit: LimitOption = None,
    evidence: EvidenceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Label every record, combine the votes, compare them with the human labels and write a dataset with its card.

    Killed, or stopped by its budget, and started again with the same arguments it goes on from the last committed shard and asks about
    no record twice. What was in flight when the budget ended is waited for, and so may pass it a little.
    """
    from stack.pipelines import Budget, find_endpoint, load_pipeline, open_executor, run_pipeline
    from stack.runtime.progress import Reporter

    chosen = load_pipeline(pipeline)
    endpoint = find_endpoint(url, api_key_file=api_key_file, ca_file=ca_file, model=model) if url is not None and chosen.asks_a_model else None
    budget, reporter = Budget(tokens=max_tokens, seconds=max_seconds), Reporter()
    with open_executor(executor, logs=out / "logs") as workers:
        if workers.dashboard:
            reporter.say(f"Ray dashboard: {workers.dashboard}")
        done = run_pipeline(chosen, out, executor=workers, endpoint=endpoint, limit=limit, reporter=reporter, budget=budget)
    if evidence is not None:
        from stack.evidence import EvidenceStore
        from stack.pipelines import labeling_evidence

        EvidenceStore(evidence).write(*labeling_evidence(done))
    if as_json:
        took = {"labeled_now": done.labeled, "seconds": round(done.spent.seconds, 3), "records_per_s": done.records_per_s}
        print_json({"out": str(out), **took, "card": done.card})
    else:
        _show(done)


app.command()(label_review.review)
app.command()(label_review.export)
app.command("import")(label_review.import_)


@app.command()
def trace(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a dataset that `stackproof label run` wrote.")],
    record_id: Annotated[str, typer.Argument(metavar="RECORD", help="A record_id from labels.parquet or dropped.jsonl.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show where one record came from and what became of it: source, stages, votes, or why it was dropped."""
    from stack.pipelines import trace as trace_record

    found = trace_record(out, record_id)
    if as_json:
        print_json(found)
        return
    for name in ("record_id", "source", "row", "source_id", "record_sha256"):
        typer.echo(f"{name}: {found[name]}")
    stages = [(each["kind"], each["words"], _yes(each["changed_text"]), each["digest"][:12]) for each in found["stages"]]
    print_table(("stage", "does", "changed the text", "digest"), stages)
    if found["votes"]:
        cast = found["votes"].items()
        votes = [(name, vote["label"] or vote["error"] or "abstained", vote["model"] or "-", (vote["digest"] or "")[:12]) for name, vote in cast]
        print_table(("labeler", "vote", "model", "digest"), votes)
    ended = found["dropped"] or found["outcome"]
    typer.echo(("dropped: " if found["dropped"] else "outcome: ") + ", ".join(f"{name} {value}" for name, value in ended.items() if value is not None))


@app.command()
def key(file: Annotated[Path, typer.Argument(metavar="FILE", help="File to make; never one that exists.")]) -> None:
    """Make a key for a `pii` stage that writes pseudonyms or sealed values. Who has it can undo sealed ones: keep it apart from the data."""
    from stack.privacy import create_key

    create_key(file)
    typer.echo(f"key: {file} (only you can read it)")


@app.command()
def restore(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a dataset that `stackproof label run` wrote.")],
    record_id: Annotated[str, typer.Argument(metavar="RECORD", help="A record_id from labels.parquet.")],
    *,
    key_file: Annotated[Path, typer.Option("--key-file", metavar="FILE", help="The key that the `pii` stage sealed values with (how: reversible).")],
) -> None:
    """Print the text of one record with its sealed values put back."""
    from stack.pipelines import restored_text

    typer.echo(restored_text(out, record_id, key_file))


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def _show(done: "LabelingRun") -> None:
    from stack.pipelines.scores import OUTCOME

    statistics = done.statistics
    rows = [
        (
            "(combined)" if name == OUTCOME else name,
            f"{each.overall.value:.3f}",
            f"{each.overall.low:.3f} to {each.overall.high:.3f}",
            each.overall.total,
            _interval(each.kappa),
        )
        for name, each in statistics.against_gold.items()
        if each.overall.value is not None
    ]
    base = statistics.majority_class
    if rows and base.value is not None:
        rows.append(("(always the most frequent label)", f"{base.value:.3f}", f"{base.low:.3f} to {base.high:.3f}", base.total, "0.000"))
        print_table(("labeler", "accuracy", "95 % interval", "records", "kappa with gold"), rows, title=done.pipeline.title)
    for (a, b), kappa in statistics.kappa.items():
        typer.echo(f"agreement of {a} and {b}: kappa {_interval(kappa)}")
    if statistics.alpha is not None and len(statistics.failed) > 2:
        typer.echo(f"agreement of all: Krippendorff's alpha {_interval(statistics.alpha)}")
    if (model := done.card["label_model"]) and model["gold"]:
        error = model["gold"]["calibration"]["ece"]
        typer.echo(f"calibration of the probabilities: {error:.3f} off the share that is right, on average (expected calibration error)")
    counts = done.card["counts"]
    typer.echo(f"records: {statistics.records} in the dataset; dropped: {_counts(counts['dropped'])}; failed votes: {_counts(counts['failed_votes'])}")
    if done.pipeline.label:
        rate = "all labeled by an earlier run" if done.records_per_s is None else f"{done.labeled} labeled now at {done.records_per_s:.1f} records/s"
        typer.echo(f"{rate}; {statistics.prompt_tokens} tokens read and {statistics.completion_tokens} written by the engine's count")
    typer.echo(f"dataset: {done.out / 'labels.parquet'}, datasheet: {done.out / 'datasheet.html'}, card: {done.out / 'card.json'}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"


def _interval(found: "Interval") -> str:
    if found.value is None:
        return "undefined"
    return f"{found.value:.3f}" + (f" ({found.low:.3f} to {found.high:.3f})" if found.low is not None else "")
