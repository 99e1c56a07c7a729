"""`stackproof profile`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table
from stack.cli.places import EvidenceOption, writable_folder
from stack.runtime.errors import StackproofError

if TYPE_CHECKING:
    from stack.hardware_profiles.profile import Group


def profile(
    only: Annotated[
        str, typer.Option("--only", metavar="PARTS", help="Of gemm, memory, copies, collectives, storage, network; with commas between.")
    ] = "gemm,memory,copies,collectives,storage,network",
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="Measure for about this long, as in 60s or 5m.")] = "60s",
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda:N; the first GPU that torch sees when not given, else the CPU.")] = None,
    storage_dir: Annotated[Path, typer.Option("--storage-dir", metavar="DIR", help="Measure the file system that holds this folder.")] = Path(),
    quick: Annotated[bool, typer.Option("--quick", help="About 15 seconds of measuring, and a smaller file: for a first look.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", callback=writable_folder, help="Write profile.json and profile.html into this folder.")
    ] = None,
    evidence: EvidenceOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the hardware really does: products by data type, memory, copies, collectives, storage, network.

    Exit status 1 when a result is invalid or noisy: measure again on a quiet machine before you quote it.
    """
    from stack.hardware_profiles.profile import Settings, run_profile
    from stack.runtime.durations import parse_duration_s

    settings = Settings(groups=parse_groups(only), device=device, budget_s=parse_duration_s(budget, field="--budget"), storage_dir=storage_dir, quick=quick)
    found = run_profile(settings)
    if out is not None:
        from stack.hardware_profiles.profile.page import profile_page
        from stack.runtime.files import write_atomic

        write_atomic(out / "profile.json", found.model_dump_json(indent=2) + "\n")
        write_atomic(out / "profile.html", profile_page(found))
    if evidence is not None:
        from stack.evidence import EvidenceStore
        from stack.hardware_profiles.profile.evidence import draft

        EvidenceStore(evidence).write(*draft(found))
    from stack.hardware_profiles.profile import words

    if as_json:
        print_json(found)
    else:
        print_table(words.HEAD, words.rows(found))
        if reasons := words.reasons(found):
            print_table(("result", "because"), reasons)
    for line in (*found.warnings, words.verdict(found)):
        typer.echo(line, err=as_json)
    if not found.complete:
        raise typer.Exit(130)
    if found.doubtful:
        raise typer.Exit(1)


def parse_groups(text: str) -> "frozenset[Group]":
    """StackproofError naming the option for an unknown or empty part."""
    from stack.hardware_profiles.profile import Group

    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = next((name for name in names if name not in set(Group)), None)
    if unknown is not None or not names:
        raise StackproofError(f"--only {unknown or text!r}: choose of {', '.join(Group)}")
    return frozenset(Group(name) for name in names)
