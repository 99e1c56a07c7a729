"""`stackproof bench report` and `bench check`: a run for people, and whether its files agree."""

from pathlib import Path
from typing import Annotated

import typer

from stack.cli.output import JsonOption, print_json

Folders = Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folder of a run, or of several runs.")]


def report(places: Folders, *, as_json: JsonOption = False) -> None:
    """Write report.html into each run's folder, and one with curves over a folder of several runs.

    The page is complete in itself: it loads nothing and runs nothing. Exit status 0: written; 1: written, but the files of a run
    contradict one another (the page says so); 2: no run there.
    """
    from bench.report.write import report_folder

    written = [page for place in places for page in report_folder(place)]
    faults = [f"{page.path.parent}: {finding}" for page in written for finding in page.findings]
    if as_json:
        print_json({"reports": [str(page.path) for page in written], "findings": faults})
    else:
        for page in written:
            typer.echo(page.path)
        for fault in faults:
            typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)


def check(places: Folders, *, as_json: JsonOption = False) -> None:
    """Check that the files of a run agree: summary, samples and workload, counted once more.

    One line a finding. Exit status 0: they agree; 1: they do not; 2: no run there.
    """
    from bench.report.write import find_runs
    from bench.results.reconcile import reconcile

    found = {str(run): [str(finding) for finding in reconcile(run)] for place in places for run in find_runs(place)}
    if as_json:
        print_json({"runs": list(found), "findings": [{"run": run, "finding": line} for run, lines in found.items() for line in lines]})
    else:
        for run, lines in found.items():
            for line in lines or ["its files agree"]:
                typer.echo(f"{run}: {line}")
    if any(found.values()):
        raise typer.Exit(1)
