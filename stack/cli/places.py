"""Options that say where results go: looked at while the command line is read, before any work begins."""

from pathlib import Path
from typing import Annotated

import typer


def writable_folder(context: typer.Context, parameter: typer.CallbackParam, folder: Path | None) -> Path | None:
    """The folder as it was given; StackproofError, naming the option, when nothing can be written into it."""
    if folder is not None and not context.resilient_parsing:
        from stack.runtime.writable import require_folder

        require_folder(folder, option=parameter.opts[0])
    return folder


def writable_file(context: typer.Context, parameter: typer.CallbackParam, path: Path | None) -> Path | None:
    """The file as it was given; StackproofError, naming the option, when it cannot be written."""
    if path is not None and not context.resilient_parsing:
        from stack.runtime.writable import require_file

        require_file(path, option=parameter.opts[0])
    return path


def evidence_folder(context: typer.Context, parameter: typer.CallbackParam, folder: Path | None) -> Path | None:
    """The folder as it was given; StackproofError when no record can be written into it with this user's key."""
    if folder is not None and not context.resilient_parsing:
        from stack.evidence import EvidenceStore

        EvidenceStore(folder).require_writable(option=parameter.opts[0])
    return folder


EvidenceOption = Annotated[
    Path | None, typer.Option("--evidence", metavar="DIR", callback=evidence_folder, help="Also write a signed evidence record into this folder.")
]
