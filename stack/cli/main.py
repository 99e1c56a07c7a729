"""The `stackproof` command."""

import signal
import sys
from typing import Annotated

import typer

from stack.cli import accelerators, apps, bench, chart, demo, dossier, exporter, inventory, label, models, plan, profile, secure, serve, sessions
from stack.runtime.errors import StackproofError

app = typer.Typer(
    name="stackproof",
    help="Deploy a full AI stack, measure it on the target hardware, and prove what was measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from stack.evidence.provenance import tool

        found = tool()
        typer.echo(f"stackproof {found.version}" + (f" ({found.commit[:12]}{', modified' if found.dirty else ''})" if found.commit else ""))
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and the commit.")] = False,
) -> None:
    """Results go to stdout (--json for machines), progress and errors to stderr.

    Exit status: 0 done, 1 the thing checked did not hold, 2 bad usage or input, 130 interrupted.
    """


app.command("demo")(demo.demo)
app.command("inventory")(inventory.inventory)
app.command("exporter")(exporter.exporter)
app.add_typer(accelerators.app, name="accelerators")
app.command("profile")(profile.profile)
app.add_typer(models.app, name="models")
app.command("plan")(plan.plan)
app.command("serve")(serve.serve)
app.command("status")(sessions.status)
app.command("restart")(sessions.restart)
app.command("stop")(sessions.stop)
app.add_typer(dossier.app, name="dossier")
app.add_typer(chart.app, name="chart")
app.add_typer(bench.app, name="bench")
app.add_typer(secure.app, name="secure")
app.add_typer(label.app, name="label")
app.add_typer(apps.app, name="apps")


def main() -> None:
    """Run the command line; a StackproofError becomes one line and its exit status, a bug keeps its traceback."""
    # SIGTERM unwinds like Ctrl-C, so that every `with` and `finally` on the way stops what it started.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=True)
    except StackproofError as error:
        print(f"stackproof: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print("stackproof: interrupted", file=sys.stderr)
        sys.exit(130)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
