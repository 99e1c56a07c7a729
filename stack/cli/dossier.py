"""`stackproof dossier`: build, verify and show a dossier."""

from pathlib import Path
from typing import Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table
from stack.cli.places import writable_folder

app = typer.Typer(no_args_is_help=True, help="Turn evidence and a proposal into a signed dossier, and check one.")

DossierFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dossier, as `dossier build` wrote it.")]


@app.command()
def build(
    proposal: Annotated[Path, typer.Argument(metavar="PROPOSAL", help="YAML file with the statements and claims (see docs/dossier.md).")],
    evidence: Annotated[Path, typer.Option("--evidence", metavar="DIR", help="Folder of evidence records that other commands wrote.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", callback=writable_folder, help="Folder to write; an earlier dossier in it is replaced.")],
    json_: JsonOption = False,
) -> None:
    """Write a dossier: coverage of the call, claims with verdicts, every figure with its evidence, signed.

    Exit status 0 also when items are missing or claims do not hold: the dossier says so.
    """
    from stack.proposal import build_dossier
    from stack.proposal.dossier import PAGE

    dossier = build_dossier(evidence, proposal, out)
    if json_:
        print_json({"dossier": str(out), "key_id": dossier.key_id, "complete": dossier.complete, **dossier.summary()})
    else:
        typer.echo(f"{out / PAGE}: {_sentence(dossier.summary())}")
        typer.echo(f"Signed with key {dossier.key_id}")


@app.command()
def verify(
    directory: DossierFolder,
    key_id: Annotated[
        str | None, typer.Option("--key-id", metavar="ID", help="Key that must have signed it (64 hexadecimal digits), learned from the issuer by another way.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Check every signature and hash, work the figures out again, and build the dossier again from its records.

    Needs no network. Exit status 0: all of it holds; 1: something does not, and the lines below the table name the files.
    """
    from stack.proposal import verify_dossier

    report = verify_dossier(directory, key_id)
    if json_:
        print_json({"ok": report.ok, **report.model_dump(mode="json")})
    else:
        print_table(("check", "looked at", "result"), ((check.name, check.checked, check.result) for check in report.checks))
        for check in report.checks:
            if check.note:
                typer.echo(f"{check.name}: {check.note}")
        if report.ok:
            typer.echo(f"The dossier holds. Signed with key {report.key_id}")
        for failure in report.failures:
            typer.echo(f"stackproof: {failure}", err=True)
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def show(directory: DossierFolder, json_: JsonOption = False) -> None:
    """Print coverage, claims and missing items of a dossier, without checking it."""
    from stack.proposal.show import read_dossier

    dossier = read_dossier(directory)
    if json_:
        print_json(dossier)
        return
    typer.echo(f"{dossier.title}: {_sentence(dossier.summary())}")
    print_table(("item", "title", "status"), ((item.id, item.title, item.status) for item in dossier.coverage), title="Coverage")
    rows = (
        (verdict.claim.id, verdict.outcome, f"{verdict.claim.op} {verdict.bound} {verdict.claim.unit}", verdict.observed, verdict.reason)
        for verdict in dossier.claims
    )
    print_table(("claim", "verdict", "claimed", "found", "reason"), rows, title="Claims")
    for lacking in dossier.missing:
        typer.echo(f"missing: {lacking}")
    typer.echo("Not checked here: run `stackproof dossier verify`.")


def _sentence(summary: dict[str, int]) -> str:
    return (
        f"{summary['records']} records, {summary['figures']} figures; claims: {summary['holds']} hold, {summary['does_not_hold']} do not, "
        f"{summary['cannot_tell']} cannot be told; {summary['missing']} things missing"
    )
