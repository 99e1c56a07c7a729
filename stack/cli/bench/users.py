"""`stackproof bench users`: user journeys with Locust."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table
from stack.cli.places import EvidenceOption, writable_folder

if TYPE_CHECKING:
    from bench.results.summary import Metric
    from bench.users import UsersSummary
    from bench.users.summary import Attainment, Counts, Latencies

INTERRUPTED = 130


def users(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A YAML file, or the name of a ready one (docs/users.md).")],
    *,
    url: Annotated[str, typer.Option("--url", help="The endpoint, as in http://127.0.0.1:8000 or https://HOST/BASE.")],
    api_key_file: Annotated[Path | None, typer.Option("--api-key-file", metavar="FILE", help="File that holds the endpoint's API key.")] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM certificates to trust for https instead of the system's.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model to ask for, instead of the scenario's.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Makes texts and pauses reproducible. Default: the scenario's, or a new one.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=0, max=256, help="Locust worker processes on this machine.")] = 1,
    web: Annotated[bool, typer.Option("--web", help="Start Locust's page on loopback and wait: a person starts the test there, Ctrl-C ends.")] = False,
    web_port: Annotated[int, typer.Option("--web-port", min=1, max=65535, help="Port of Locust's page.")] = 8089,
    expect_workers: Annotated[int, typer.Option("--expect-workers", min=0, max=1024, help="Wait for so many workers started elsewhere with --worker.")] = 0,
    master_bind: Annotated[
        str | None, typer.Option("--master-bind", metavar="HOST[:PORT]", help="Where workers from elsewhere connect. Default: loopback, a free port.")
    ] = None,
    worker: Annotated[bool, typer.Option("--worker", help="Be workers for a master elsewhere, with the same SCENARIO.")] = False,
    master_host: Annotated[str | None, typer.Option("--master-host", metavar="HOST[:PORT]", help="That master.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", callback=writable_folder, help="Folder for rows, summary and logs. Default: out/users/SCENARIO.")
    ] = None,
    evidence: EvidenceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let users go through conversations with an endpoint, and report latency step by step.

    Exit status 0: done and valid; 1: a worker could not keep up or was lost, or no request succeeded, so the figures must not be quoted;
    2: the scenario or the endpoint cannot be used; 130: interrupted, what was measured is kept.
    """
    from bench.users import load_scenario
    from bench.users.nodes import Address
    from bench.users.run import Nodes, Target, run_users, run_workers
    from stack.runtime.progress import Reporter

    _refuse_mixed(worker=worker, master_host=master_host, web=web, expect_workers=expect_workers, master_bind=master_bind, evidence=evidence)
    chosen = load_scenario(scenario, model=model)
    place = out or Path("out") / "users" / chosen.name
    target = Target(url, api_key_file=api_key_file, ca_file=ca_file)
    if master_host is not None:
        master = Address.parse(master_host, option="--master-host")
        run_workers(chosen, target, master=master, workers=workers, out=place, reporter=Reporter())
        return
    nodes = Nodes(
        workers=workers,
        expect_workers=expect_workers,
        master_bind=None if master_bind is None else Address.parse(master_bind, option="--master-bind"),
        web_port=web_port if web else None,
    )
    summary = run_users(chosen, target, out=place, seed=seed, nodes=nodes, reporter=Reporter())
    if evidence is not None:
        from bench.users.evidence import draft
        from stack.evidence import EvidenceStore

        EvidenceStore(evidence).write(*draft(summary, place))
    if as_json:
        print_json(summary)
    else:
        _show(summary, place)
    if summary.state == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if not summary.valid:
        raise typer.Exit(1)


def _refuse_mixed(*, worker: bool, master_host: str | None, web: bool, expect_workers: int, master_bind: str | None, evidence: Path | None) -> None:
    """A node is a master or a worker."""
    from bench import BenchError

    if worker and master_host is None:
        raise BenchError("--worker: say whose with --master-host HOST[:PORT]")
    if master_host is not None and not worker:
        raise BenchError("--master-host: give it together with --worker")
    for option, given in (("--web", web), ("--expect-workers", expect_workers), ("--master-bind", master_bind), ("--evidence", evidence)):
        if worker and given:
            raise BenchError(f"{option}: not with --worker: it is for the master to say")


def _show(summary: "UsersSummary", place: Path) -> None:
    scenario = summary.scenario
    everything = ("all", summary.requests, summary.metrics, summary.goodput)
    steps = [(f"{each.user_class}/{each.step}", each.requests, each.metrics, each.goodput) for each in summary.steps]
    print_table(
        ("step", "ok", "fail", "TTFT", "TPOT", "E2E", "good"),
        [_row(*each) for each in (*steps, everything)],
        title=f"{scenario.name}: {summary.users} users in {len(scenario.classes)} classes; model {scenario.model}; p50/p99 in ms",
    )
    for line in _lines(summary):
        typer.echo(line)
    typer.echo(f"rows, summary and logs: {place}")


def _row(name: str, requests: "Counts", metrics: "Latencies", goodput: "Attainment | None") -> tuple[str, ...]:
    def cell(metric: "Metric") -> str:
        return f"{_number(metric.p50)}/{_number(metric.p99)}"

    share = "-" if goodput is None or goodput.share is None else f"{goodput.share:.1%}"
    return (name, str(requests.ok), str(requests.failed), cell(metrics.ttft_ms), cell(metrics.tpot_ms), cell(metrics.e2e_ms), share)


def _lines(summary: "UsersSummary") -> list[str]:
    requests, rates, goodput = summary.requests, summary.rates, summary.goodput
    failures = "".join(f", {count} {name}" for name, count in requests.by_class.items())
    lines = [
        f"requests: {requests.sent} sent, {requests.ok} ok, {requests.failed} failed{failures}, {requests.cancelled} cancelled; "
        f"journeys: {summary.journeys.finished} of {summary.journeys.begun} finished",
        f"rates: {_number(rates.requests_per_s)} requests/s, {_number(rates.output_tokens_per_s)} output tokens/s, ramps included",
    ]
    if goodput is not None and goodput.share is not None and goodput.interval_95 is not None:
        limits = ", ".join(f"{name} <= {limit:g}" for name, limit in goodput.slo.model_dump(exclude_none=True).items())
        low, high = goodput.interval_95
        lines.append(f"goodput: {goodput.share:.1%} of requests met {limits} (95 % interval {low:.1%} to {high:.1%})")
    bound, missing = summary.metrics.ttft_ms.certified.p99, summary.metrics.ttft_ms.missing_samples.p99
    lines.append(f"TTFT p99 <= {_number(bound)} ms with 99 % confidence" if bound is not None else f"TTFT p99: {missing} more requests to certify it")
    lines += [
        f"{each.worker}: {each.cpu_share:.0%} of a core, loop lag p99 {_number(each.loop_lag_ms_p99)} ms, {each.peak_rss_mb:.0f} MB" for each in summary.workers
    ]
    lines += [f"seed {summary.seed}", *(f"note: {note}" for note in summary.notes)]
    return [*lines, "VALID" if summary.valid else "INVALID: " + "; ".join(summary.invalid_reasons)]


def _number(value: float | None) -> str:
    """One decimal below 1000, none from there on: a table that fits 80 columns."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"
