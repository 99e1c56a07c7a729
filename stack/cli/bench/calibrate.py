"""`stackproof bench calibrate`: what this load generator resolves on this host."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table
from stack.cli.places import EvidenceOption, writable_folder

if TYPE_CHECKING:
    from bench.calibration import Calibration, CalibrationPoint

INTERRUPTED = 130


def calibrate(
    workload: Annotated[
        str | None, typer.Argument(metavar="[WORKLOAD]", help="The planned load: a YAML file or the name of a ready one. Default: ready curves of both kinds.")
    ] = None,
    *,
    ttft_ms: Annotated[float, typer.Option("--ttft-ms", min=0.0, help="Time to first token of the reference server: about that of the real one.")] = 100.0,
    token_interval_ms: Annotated[float, typer.Option("--token-interval-ms", min=0.0, help="Its time per token after that.")] = 10.0,
    duration: Annotated[str | None, typer.Option("--duration", metavar="TIME", help="Length of each load. Default: 10s, with --quick 3s.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter loads: about a minute.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that share the load, as they will in the run.")] = 1,
    tokenizer: Annotated[Path | None, typer.Option("--tokenizer", metavar="PATH", help="Tokenizer to count with, instead of the workload's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Makes arrivals and prompts reproducible.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", callback=writable_folder, help="Folder for the curve and its samples. Default: out/calibration.")
    ] = None,
    evidence: EvidenceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Drive the built-in reference server, which knows when it really wrote each token, and report the load generator's error at each load.

    With WORKLOAD, at 25, 50, 75, 100 and 125 % of it. Exit status 0: the planned load is resolved (without one, the lowest of each kind);
    1: it is not, or a load passed as valid that was not resolved; 2: the workload cannot be used; 130: interrupted.
    """
    from bench import load_workload
    from bench.calibration.run import CalibrationOptions, calibrate
    from bench.capacity import parse_duration_s
    from stack.runtime.progress import Reporter

    chosen = None if workload is None else load_workload(workload, tokenizer=tokenizer)
    place = out or Path("out") / "calibration"
    duration_s = None if duration is None else parse_duration_s(duration, field="--duration")
    options = CalibrationOptions(ttft_ms=ttft_ms, token_interval_ms=token_interval_ms, duration_s=duration_s, quick=quick, workers=workers)
    result = calibrate(chosen, out=place, options=options, seed=seed, reporter=Reporter())
    if evidence is not None:
        from bench.calibration.evidence import draft
        from stack.evidence import EvidenceStore

        EvidenceStore(evidence).write(*draft(result, place))
    if as_json:
        print_json(result)
    else:
        _show(result, place)
    if result.state == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if not result.resolved:
        raise typer.Exit(1)


def _show(result: "Calibration", place: Path) -> None:
    print_table(
        ("load", "mean", "p99", "tpot %", "gap %", "sent %", "cpu %", "late", ""),
        [_row(point) for point in result.points],
        title=f"Reference server: ttft {result.ttft_ms:g} ms, then a token every {result.token_interval_ms:g} ms",
    )
    typer.echo("mean, p99: ttft error in ms; tpot, gap: error of the median tpot and of the p99 gap between chunks; late: the server's own, p99 in ms")
    for point in result.points:
        if point.faults:
            typer.echo(f"{point.name}: {'; '.join(point.faults)}")
    typer.echo(result.verdict.words)
    typer.echo(f"calibration.json and samples: {place}")


def _row(point: "CalibrationPoint") -> tuple[str, ...]:
    error = point.ttft_error_ms
    verdict = "resolved" if not point.faults else "no word" if point.reference_late else "not resolved" if point.valid else "INVALID"
    return (
        f"{point.load:g}{' users' if point.loop == 'closed' else '/s'}",
        *(_short(value) for value in (error.mean, error.p99)),
        *(_percent(value) for value in (point.tpot_error_share, point.chunk_gap_p99_error_share)),
        _percent(point.delivered_share),
        _percent(point.cpu_share),
        _short(point.server_late_ms.p99),
        verdict,
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else _short(value * 100)


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
