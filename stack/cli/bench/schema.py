"""`stackproof bench schema`: the JSON Schema of what goes in and of what comes out."""

from enum import StrEnum
from typing import Annotated

import typer

from stack.cli.output import print_json


class Document(StrEnum):
    """What a schema describes."""

    workload = "workload"
    summary = "summary"


def schema(of: Annotated[Document, typer.Argument(metavar="[workload|summary]", help="A workload file, or summary.json.")] = Document.workload) -> None:
    """Print the JSON Schema of a workload file, or of summary.json: for editors, and for tools that write or read them."""
    from bench.results.schema import summary_schema
    from bench.workload.schema import workload_schema

    print_json(workload_schema() if of is Document.workload else summary_schema())
