"""`stackproof demo`: the main job."""

from pathlib import Path
from typing import Annotated

import typer

from stack.cli.output import JsonOption, print_json
from stack.cli.places import writable_folder

GIB = 1 << 30


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", callback=writable_folder, help="Folder for the dossier and for the run's data and logs.")] = Path(
        "out"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Do everything on a fraction of the data: shows that it works, not how well.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve, benchmark, label, evaluate and audit on this machine, then write and verify a signed dossier.

    Takes a few minutes on two cores and no network. Ctrl-C stops everything that was started. Exit status 1 when the
    dossier does not verify.
    """
    from stack.proposal.demo import run_demo
    from stack.runtime.progress import Reporter

    outcome = run_demo(out, quick=quick, reporter=Reporter())
    summary, verified = outcome.dossier.summary(), outcome.verification
    peak = outcome.peak_memory_bytes
    if as_json:
        print_json(
            {
                "dossier": str(outcome.dossier_dir),
                "page": str(outcome.dossier_dir / "index.html"),
                "run_dir": str(outcome.run_dir),
                "verified": verified.ok,
                "key_id": verified.key_id,
                "seconds": round(outcome.seconds, 1),
                "peak_memory_bytes": peak,
                **summary,
            }
        )
    else:
        typer.echo(f"Dossier: {outcome.dossier_dir / 'index.html'} (open it in a browser; it needs no network)")
        typer.echo(f"Claims: {summary['holds']} hold, {summary['does_not_hold']} do not, {summary['cannot_tell']} cannot be told")
        typer.echo(f"Verified: {'every signature, hash and recomputed figure holds' if verified.ok else 'NO'}")
        typer.echo(f"Took {outcome.seconds:.0f} s" + (f" and at most {peak / GIB:.1f} GiB of memory" if peak else ""))
    for failure in verified.failures:
        typer.echo(f"stackproof: {failure}", err=True)
    raise typer.Exit(0 if verified.ok else 1)
