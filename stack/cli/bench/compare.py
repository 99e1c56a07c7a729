"""`stackproof bench compare`: whether one run is better or worse than another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from bench.compare import Compared, Comparison


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Folder of a run (`bench run --out`), or of repeats of one (`--repeats`).")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The folder to judge against A.")],
    *,
    allow_invalid: Annotated[bool, typer.Option("--allow-invalid", help="Compare runs that are INVALID all the same.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether B is better or worse than A, or that it cannot be told, with the interval of each difference.

    Exit status 0: B is not worse; 1: B is worse in at least one figure; 2: the runs cannot be compared.
    """
    from bench.compare import compare as compare_runs

    found = compare_runs(a, b, allow_invalid=allow_invalid)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found.verdict == "worse":
        raise typer.Exit(1)


def _show(found: "Comparison") -> None:
    print_table(
        ("figure", "A", "B", "B - A", "interval", "B is"),
        [_cells(figure) for figure in found.figures],
        title=f"A: {_side(found.a.folder, found.a.runs)}; B: {_side(found.b.folder, found.b.runs)}",
    )
    typer.echo(f"intervals hold together with 95 % confidence ({found.confidence:.1%} each; docs/metrics.md)")
    for note in (*found.notes, *dict.fromkeys(f"{figure.name}: {figure.note}" for figure in found.figures if figure.note)):
        typer.echo(f"note: {note}")
    typer.echo(f"B is {found.verdict}" if found.verdict != "cannot tell" else "cannot tell")


def _side(folder: str, runs: int) -> str:
    return folder if runs == 1 else f"{folder} ({runs} runs)"


def _cells(figure: "Compared") -> tuple[str, ...]:
    interval = "-" if figure.interval is None else f"{figure.interval[0]:+.4g} to {figure.interval[1]:+.4g}"
    difference = "-" if figure.difference is None else f"{figure.difference:+.4g}" + ("" if figure.relative is None else f" ({figure.relative:+.1%})")
    return (figure.name, *("-" if value is None else f"{value:.5g}" for value in (figure.a, figure.b)), difference, interval, figure.verdict)
