"""`stackproof bench audit`: whether a server cheats."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json
from stack.cli.places import EvidenceOption, writable_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from bench.audits import AuditResult, Subject


def audit(
    test: Annotated[str, typer.Argument(metavar="TEST", help="TEST01 (answers under load), TEST04 (caching), TEST06 (counts and ends) or TEST09 (lengths).")],
    source: Annotated[str, typer.Argument(metavar="RUN_OR_WORKLOAD", help="Folder of a run (TEST01: made with --keep-text), or a workload as for bench run.")],
    *,
    url: Annotated[str, typer.Option("--url", help="The endpoint, as for bench run.")],
    api_key_file: Annotated[Path | None, typer.Option("--api-key-file", metavar="FILE", help="File that holds the endpoint's API key.")] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM certificates to trust for https instead of the system's.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model to ask for, instead of the workload's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The evaluator's: chooses what is looked at. Default: a new one.")] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Requests to look at; TEST04: fixed prompts. Default: 64; TEST04: 8.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=2, max=50, help="TEST04: pairs of phases.")] = 4,
    tokenizer: Annotated[Path | None, typer.Option("--tokenizer", metavar="PATH", help="TEST06: the model's folder or tokenizer.json.")] = None,
    reference_tokens: Annotated[float | None, typer.Option("--reference-tokens", min=0.1, help="TEST09: the reference model's mean output tokens.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", callback=writable_folder, help="Folder for answers and audit.json. Default: out/audit/TEST/WORKLOAD.")
    ] = None,
    evidence: EvidenceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one of MLPerf's audits against a server, in a form for language models (docs/quality.md).

    Exit status 0: pass, or cannot tell; 1: fail; 2: the audit cannot be run on this; 130: interrupted.
    """
    from bench.audits import TESTS
    from bench.audits.models import INTERRUPTED
    from bench.audits.run import run_audit
    from bench.audits.subject import choose
    from bench.errors import BenchError
    from bench.load.endpoint import read_api_key
    from bench.quality.server import Server
    from stack.runtime.progress import Reporter

    chosen_test = TESTS.get(test.upper())
    if chosen_test is None:
        raise BenchError(f"{test}: no such audit: give one of {', '.join(TESTS)}")
    chosen = choose(source, model=model, seed=seed, sample=sample, rounds=rounds, reference_tokens=reference_tokens)
    place = out or Path("out") / "audit" / chosen_test.name.lower() / (chosen.subject.workload.name or "workload")
    server = Server(url, chosen.subject.workload.model or "", read_api_key(api_key_file), ca_file)
    result = run_audit(chosen_test, chosen, server, out=place, tokenizer=_tokenizer(tokenizer, chosen.subject), reporter=Reporter())
    if evidence is not None:
        _write_evidence(evidence, result, place)
    if as_json:
        print_json(result)
    else:
        _show(result, place)
    if result.reason == INTERRUPTED:
        raise typer.Exit(130)
    if result.verdict == "fail":
        raise typer.Exit(1)


def _tokenizer(given: Path | None, subject: "Subject") -> "Tokenizer | None":
    """What was named, else the workload's own or the catalog model's on this machine, else none."""
    from bench.prompts.tokenizer import find_tokenizer, load_tokenizer

    path = find_tokenizer(given or getattr(subject.workload.prompts, "tokenizer", None), model=subject.workload.model)
    return None if path is None else load_tokenizer(path)


def _write_evidence(store: Path, result: "AuditResult", place: Path) -> None:
    from bench.audits.evidence import draft
    from stack.evidence import EvidenceStore

    EvidenceStore(store).write(*draft(result, place))


def _show(result: "AuditResult", place: Path) -> None:
    typer.echo(f"{result.test}, {result.title}: {result.verdict.upper()}")
    for line in (result.reason, *(f"note: {note}" for note in result.notes), *result.examples):
        typer.echo(line)
    typer.echo(f"audit seed {result.subject.audit_seed}; answers and audit.json: {place}")
