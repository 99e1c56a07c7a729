"""`stackproof secure`: audit the controls."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import print_json, print_table
from stack.cli.places import EvidenceOption

if TYPE_CHECKING:
    from stack.security import AuditReport, Target

app = typer.Typer(no_args_is_help=True, help="Check the controls that protect host, models, engine and gateway.")


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


@app.callback()
def root() -> None:
    """Check the controls that protect host, models, engine and gateway."""


@app.command()
def audit(
    *,
    target: Annotated[
        str | None, typer.Option("--target", metavar="LIST", help="host, models, engine, gateway, or several with commas. [default: all]")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Where the gateway answers, as in http://127.0.0.1:8080.")] = None,
    engine_url: Annotated[str | None, typer.Option("--engine-url", metavar="URL", help="Where the engine behind it answers, on this machine.")] = None,
    api_key_file: Annotated[Path | None, typer.Option("--api-key-file", metavar="FILE", exists=True, dir_okay=False, help="File with a client's key.")] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM certificates to trust for https instead of the public authorities'.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Which model of the catalog to check. [default: the smallest]")] = None,
    run_dir: Annotated[Path | None, typer.Option("--run-dir", metavar="DIR", exists=True, file_okay=False, help="The serving session's folder.")] = None,
    output: Annotated[Format, typer.Option("--format", help="A table for people or JSON for machines.")] = Format.TABLE,
    evidence: EvidenceOption = None,
) -> None:
    """Carry out every check of the chosen targets and say what was seen.

    A control that could not be checked reads unknown, never pass. Exit status 1 when a control fails. The addresses and files
    are those that `stackproof serve --json` prints.
    """
    from stack.runtime.progress import Reporter
    from stack.security import AuditContext, AuditFailedError, Status, run_audit
    from stack.serving import CI_MODEL, find_model

    context = AuditContext(
        catalog=find_model(model or CI_MODEL),
        gateway_url=_address(url, "http", "https"),
        engine_url=_address(engine_url, "http"),
        api_key_file=api_key_file,
        ca_file=ca_file,
        run_dir=run_dir,
    )
    _ = context.trust  # a CA file that is none is told before anything is checked
    report = run_audit(context, Reporter(), targets=_targets(target))
    if evidence is not None:
        from stack.evidence import EvidenceStore
        from stack.security.evidence import draft

        EvidenceStore(evidence).write(*draft(report))
    if output is Format.JSON:
        print_json(report)
    else:
        _show(report)
    if broken := report.with_status(Status.FAIL):
        raise AuditFailedError(f"{len(broken)} of {len(report.results)} controls do not hold: {', '.join(result.control for result in broken)}")


@app.command("verify-log")
def verify_log_(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The gateway's audit log, audit.jsonl in a session's folder.")],
) -> None:
    """Follow the chain of a gateway's audit log and name every line that was changed, moved or is missing.

    Exit status 1 when there is one. Lines cut off the end leave no trace in the file: compare the last digest with one noted before.
    """
    from stack.security import AuditFailedError
    from stack.serving.audit_log import verify_log

    verdict = verify_log(file)
    typer.echo(f"{verdict.entries} entries, the last with digest {verdict.last_sha256}" + (", and a line cut short at the end" if verdict.torn else ""))
    for fault in verdict.faults:
        typer.echo(fault)
    if verdict.faults:
        raise AuditFailedError(f"{file} is not as it was written: {len(verdict.faults)} places")


@app.command()
def api(
    policy: Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="The gateway's policy. [default: the one that ships]")] = None,
) -> None:
    """Print the OpenAPI document of exactly what a gateway with this policy accepts, as JSON."""
    from stack.serving.openapi import openapi_document
    from stack.serving.policy import load_policy

    print_json(openapi_document(load_policy(policy)))


def _targets(text: str | None) -> tuple["Target", ...]:
    from stack.security import SecurityError, Target

    try:
        return tuple(Target(name.strip()) for name in text.split(",")) if text is not None else tuple(Target)
    except ValueError as error:
        raise SecurityError(f"--target: {error}: choose from {', '.join(Target)}, with commas between") from None


def _address(url: str | None, *schemes: str) -> str | None:
    """Without a trailing slash; SecurityError for what is not an address."""
    from urllib.parse import urlsplit

    from stack.security import SecurityError

    if url is None:
        return None
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and parts.hostname and (parts.port is None or parts.port > 0) and parts.path in {"", "/"}
    except ValueError:
        valid = False
    if not valid:
        raise SecurityError(f"{url!r} is not an address like http://127.0.0.1:8080 ({' or '.join(schemes)}, no path)")
    return url.rstrip("/")


def _show(report: "AuditReport") -> None:
    from stack.security import Status

    rows = ((each.control, each.status.replace("_", " "), each.title, f"{each.observed}{f': {each.detail}' if each.detail else ''}") for each in report.results)
    print_table(("control", "status", "what", "seen"), rows)
    for each in report.with_status(Status.FAIL):
        print(f"{each.control} fails. {each.remediation}")
    print(", ".join(f"{count} {status.replace('_', ' ')}" for status, count in report.counts.items()))
