"""`stackproof label review`, `label export`, `label import`: people beside the labelers. `stack.cli.label` registers them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stack.cli.output import JsonOption, print_json

OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="Folder of a dataset that `stackproof label run` wrote.")]


def review(
    out: OutArgument,
    *,
    guidelines: Annotated[str | None, typer.Option("--guidelines", metavar="FILE|TEXT", help="Markdown file (.md, .txt), or text, to show beside.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1. Default: a free one.")] = None,
) -> None:
    """Serve a page on this machine where people vote on the records most in need, until Ctrl-C.

    Every decision is appended to OUT/reviews.jsonl before the page counts it.
    """
    from stack.pipelines.review import serve_review

    serve_review(out, guidelines=guidelines, port=port, say=lambda address: typer.echo(f"review: {address} (Ctrl-C ends it)"))


def export(
    out: OutArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; the tool's set-up is written beside it.")],
    *,
    to: Annotated[Literal["label-studio", "argilla", "jsonl"], typer.Option("--to", help="Whose format.")],
) -> None:
    """Write the dataset for another labeling tool, most in need first, with our labels as predictions."""
    from stack.pipelines.review import export_reviews

    for written in export_reviews(out, to, file):
        typer.echo(f"wrote {written}")


def import_(
    out: OutArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The tool's JSON export.")],
    *,
    source: Annotated[Literal["label-studio", "argilla"], typer.Option("--from", help="Whose format.")],
    as_json: JsonOption = False,
) -> None:
    """Add another tool's decisions to OUT/reviews.jsonl. Importing a file twice doubles nothing."""
    from stack.pipelines.review import import_reviews

    done = import_reviews(out, source, file)
    if as_json:
        print_json(done.as_dict())
        return
    typer.echo(f"decisions: {done.added} added, {done.unchanged} were already there")
    for reason, count in sorted(done.faults.items()):
        typer.echo(f"{count} {reason}: {'; '.join(done.examples[reason])}")
