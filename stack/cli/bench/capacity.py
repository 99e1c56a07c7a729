"""`stackproof bench capacity`: the highest load at which a service level holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table
from stack.cli.places import EvidenceOption, writable_folder

if TYPE_CHECKING:
    from bench.capacity import CapacityResult
    from bench.capacity.models import ProbeResult

INTERRUPTED = 130


def capacity(
    workload: Annotated[str, typer.Argument(metavar="WORKLOAD", help="A YAML file, or the name of a ready one; its arrivals are replaced by those searched.")],
    *,
    url: Annotated[str, typer.Option("--url", help="The endpoint, as in http://127.0.0.1:8000 or https://HOST/BASE.")],
    slo: Annotated[
        str | None,
        typer.Option("--slo", metavar="LIMITS", help="As in ttft_p99=500ms,tpot_p99=50ms,error_rate=1%, or a preset's name."),
    ] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Sweep over 1, 2, 4, ... users at once instead, for the latency-throughput curve.")] = False,
    start: Annotated[
        float | None, typer.Option("--start", min=0.001, help="Rate (or users) to begin with. Default: what a single user gets in a few requests (or 1 user).")
    ] = None,
    highest: Annotated[float, typer.Option("--max", min=0.001, help="Never try more requests per second (or users) than this.")] = 100_000.0,
    precision: Annotated[float, typer.Option("--precision", min=0.005, max=1.0, help="How close to a failing rate the result must be, as a share.")] = 0.1,
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="Most time to spend; after it the bracket found so far is the result.")] = "20m",
    probe: Annotated[str, typer.Option("--probe", metavar="TIME", help="A short probe lasts at least this long.")] = "15s",
    confirm: Annotated[str, typer.Option("--confirm", metavar="TIME", help="The confirming run lasts at least this long.")] = "60s",
    devices: Annotated[int, typer.Option("--devices", min=1, help="Accelerators behind the URL, for tokens per second per device.")] = 1,
    api_key_file: Annotated[Path | None, typer.Option("--api-key-file", metavar="FILE", help="File that holds the endpoint's API key.")] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM certificates to trust for https instead of the system's.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model to ask for, instead of the workload's.")] = None,
    tokenizer: Annotated[Path | None, typer.Option("--tokenizer", metavar="PATH", help="Tokenizer to count with, instead of the workload's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Makes the sweep reproducible; each probe takes a seed from it.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that share the load of a probe.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", callback=writable_folder, help="Folder of the sweep; one begun there goes on. Default: out/capacity/WORKLOAD."),
    ] = None,
    evidence: EvidenceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the highest arrival rate whose certified percentiles meet a service level.

    Exit status 0: found (or the curve is done); 1: no confirmed rate (none holds, the time ran out, or the load generator could not keep up);
    2: the workload, the limits or the endpoint cannot be used; 130: interrupted, and the same command goes on.
    """
    from bench import load_workload
    from bench.capacity import SweepOptions, SweepTarget, find_capacity, parse_duration_s, parse_level, sweep_streams
    from bench.capacity.plan import Sizes
    from bench.errors import BenchError
    from bench.load.crew import Crew
    from bench.load.endpoint import read_api_key
    from stack.runtime.progress import Reporter

    chosen = load_workload(workload, model=model, tokenizer=tokenizer)
    level = None if slo is None else parse_level(slo)
    place = out or Path("out") / "capacity" / chosen.name
    target = SweepTarget(url=url, api_key=read_api_key(api_key_file), ca_file=ca_file, seed=seed, crew=Crew(workers=workers))
    probe_s, confirm_s = parse_duration_s(probe, field="--probe"), parse_duration_s(confirm, field="--confirm")
    options = SweepOptions(
        precision=precision,
        start=start,
        highest=highest,
        budget_s=parse_duration_s(budget, field="--budget"),
        devices=devices,
        sizes=Sizes(search_s=probe_s, confirm_s=confirm_s, closed_s=confirm_s),
    )
    if closed:
        result = sweep_streams(chosen, level, target=target, out=place, options=options, reporter=Reporter())
    elif level is None:
        raise BenchError("field `--slo`: give the limits to hold, as in ttft_p99=500ms,tpot_p99=50ms, or --closed for the curve alone")
    else:
        result = find_capacity(chosen, level, target=target, out=place, options=options, reporter=Reporter())
    if evidence is not None:
        from bench.capacity.evidence import draft
        from stack.evidence import EvidenceStore

        EvidenceStore(evidence).write(*draft(result, place))
    if as_json:
        print_json(result)
    else:
        _show(result, place)
    if result.stopped == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if not result.succeeded:
        raise typer.Exit(1)


def _show(result: "CapacityResult", place: Path) -> None:
    print_table(
        ("probe", "req/s", "tok/s", "per user", "ttft p99", "tpot p99", "verdict"),
        [_row(probe) for probe in result.probes],
        title=f"{result.workload.name} against {result.url}" + (f": {result.level}" if result.level else ""),
    )
    typer.echo("tok/s: output tokens/s, of all and of one user; ttft, tpot in ms: <= is a bound with 99 % confidence, else the sample's own")
    if result.mode == "open":
        found = result.capacity_requests_per_s
        low, high, confirmed = result.bracket.low, result.bracket.high, result.bracket.confirmed
        held = f"held at {low:g} requests/s" + ("" if confirmed else " (not confirmed)") if low is not None else "held nowhere"
        failed = f"failed at {high:g} requests/s" if high is not None else "failed nowhere"
        typer.echo(f"capacity: {found:g} requests/s" if found is not None else f"capacity: not known; the level {held} and {failed}")
    elif result.level is not None:
        typer.echo(f"users at which the level held: {result.bracket.low or 0:g}" + ("" if result.bracket.confirmed else " (not certified)"))
    typer.echo(f"{result.stopped}: {result.why}")
    typer.echo(f"probes, capacity.json, curve.json and curve.csv: {place}")


def _row(probe: "ProbeResult") -> tuple[str, ...]:
    point = probe.point
    verdict = probe.judgement.outcome if probe.judgement else "valid" if probe.valid else "INVALID"
    tails = (
        f"<= {_number(bound)}" if bound is not None else _number(value)
        for bound, value in (
            (point.ttft_ms_certified_p99, point.ttft_ms_p99),
            (point.tpot_ms_certified_p99, point.tpot_ms_p99),
        )
    )
    return (probe.name, _number(point.requests_per_s), _number(point.output_tokens_per_s), _number(point.tokens_per_s_per_user), *tails, verdict)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
