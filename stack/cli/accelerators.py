"""`stackproof accelerators`: what accelerators do on paper."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from stack.hardware_profiles.catalog import Published, Stated

app = typer.Typer(no_args_is_help=True, help="The catalog of accelerators: published figures, each with its source.")


@app.command("list")
def list_accelerators(as_json: JsonOption = False) -> None:
    """Show every accelerator with its dense rates, memory and power. Figures in brackets are unverified; none: the sources list no such rate."""
    from stack.hardware_profiles.catalog import DataType, load_catalog

    catalog = load_catalog().values()
    if as_json:
        print_json([entry.model_dump(mode="json", exclude_none=True) for entry in catalog])
        return
    rates = [(entry, entry.peak("bf16") or entry.peak("fp16"), entry.peaks.get(DataType.FP8)) for entry in catalog]
    rows = [(entry.name, *map(_short, (wide, narrow, entry.memory, entry.memory_bandwidth, entry.power))) for entry, wide, narrow in rates]
    print_table(("accelerator", "16 bit", "fp8", "GB", "GB/s", "W"), rows, title="Dense TFLOP/s, memory, bandwidth, power")


@app.command()
def show(name: Annotated[str, typer.Argument(help="Name in the catalog (see `stackproof accelerators list`).")], as_json: JsonOption = False) -> None:
    """Show every figure of one accelerator with its unit, status and source; what is unknown says why."""
    from stack.hardware_profiles.catalog import find_name
    from stack.hardware_profiles.catalog.models import unit_of

    entry = find_name(name)
    if as_json:
        print_json(entry.model_dump(mode="json", exclude_none=True))
        return
    sources: dict[str, int] = {}

    def origin(value: "Published | Stated") -> str:
        return f"{value.status} [{sources.setdefault(value.source, len(sources) + 1)}]" if value.source else value.status

    print_table(
        ("field", "value", "unit", "status", "note"),
        (
            *((field, _range(figure), unit_of(field), origin(figure), _note(figure)) for field, figure in entry.figures().items()),
            *((field, stated.value, "", origin(stated), stated.note) for field, stated in entry.statements().items()),
        ),
        title=f"{entry.title}, per {entry.kind} of {entry.ics} IC{'s' if entry.ics > 1 else ''}, dense",
    )
    for run in entry.achieved_gemm:
        typer.echo(f"Others measured {run.achieved} of {run.of} TFLOP/s in {run.dtype} GEMM ({run.note}): {run.source}")
    for source, number in sources.items():
        typer.echo(f"[{number}] {source}")


@app.command()
def check(files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Catalog entries in YAML.")], as_json: JsonOption = False) -> None:
    """Find figures that cannot be right: sparse rates given as dense, wrong units, a missing source.

    A file that names an accelerator of the catalog is compared with its entry; any other is judged by the ratios of its own
    figures. Exit status 1 when something was found.
    """
    from stack.hardware_profiles.catalog import check_entry, read_entry

    reports = [(path, check_entry(read_entry(path))) for path in files]
    if as_json:
        print_json(
            [{"file": str(path), "compared_with": report.shipped, "findings": [vars(finding) for finding in report.findings]} for path, report in reports]
        )
    else:
        for path, report in reports:
            for finding in report.findings:
                typer.echo(f"{path}: {finding}")
            how = f"compared with the catalog's {report.shipped}" if report.shipped else "not in the catalog: judged by the ratios of its own figures alone"
            typer.echo(f"{path}: {len(report.findings) or 'no'} finding{'' if len(report.findings) == 1 else 's'}; {how}")
    raise typer.Exit(1 if any(report.findings for _path, report in reports) else 0)


def _short(figure: "Published | None") -> str | None:
    if figure is None:
        return "none"
    if figure.value is None:
        return None
    return f"({figure.value})" if figure.status == "unverified" else str(figure.value)


def _range(figure: "Published") -> str | None:
    if figure.value is None:
        return None
    spread = f" ({figure.lowest} to {figure.highest})" if figure.lowest != figure.highest else ""
    return f"{figure.value}{spread}"


def _note(figure: "Published") -> str:
    from stack.hardware_profiles.catalog import Power

    term = figure.term if isinstance(figure, Power) else None
    return "; ".join(part for part in (term, figure.note) if part)
