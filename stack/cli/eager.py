"""The option that leaves out compilation, alike wherever a plan is made."""

from typing import Annotated

import typer

EagerOption = Annotated[
    bool,
    typer.Option("--enforce-eager", help="Do not compile the model: ready a minute or more sooner the first time, slower to answer ever after."),
]
