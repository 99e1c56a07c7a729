"""`stackproof bench run` and `bench list`: one measured run."""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table
from stack.cli.places import EvidenceOption, writable_folder

if TYPE_CHECKING:
    from bench import Summary, Workload
    from bench.repeats import Repeats
    from bench.results.keep import Counter
    from bench.results.summary import Metric

INTERRUPTED = 130


class Engine(StrEnum):
    """Where the workers of a run are."""

    local = "local"
    ray = "ray"


def recover(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run that died, or that found the disk full.")], as_json: JsonOption = False
) -> None:
    """Make samples and a summary, marked and invalid, of what a run had flushed before it died."""
    from bench.publish import recover_run
    from stack.runtime.progress import Reporter

    summary = recover_run(folder, reporter=Reporter())
    if as_json:
        print_json(summary)
    else:
        _show(summary, folder)
    raise typer.Exit(1)


def list_workloads(as_json: JsonOption = False) -> None:
    """Show the workloads that come with stackproof."""
    from bench import load_workload, ready_workloads

    workloads = [load_workload(path) for path in ready_workloads()]
    if as_json:
        print_json([workload.model_dump(mode="json") for workload in workloads])
        return
    print_table(("workload", "arrivals", "prompts", "stop"), [(each.name, *_in_words(each)) for each in workloads])


def run(
    workload: Annotated[str, typer.Argument(metavar="WORKLOAD", help="A YAML file, or the name of a ready one (`stackproof bench list`).")],
    *,
    url: Annotated[str, typer.Option("--url", help="The endpoint, as in http://127.0.0.1:8000 or https://HOST/BASE.")],
    api_key_file: Annotated[Path | None, typer.Option("--api-key-file", metavar="FILE", help="File that holds the endpoint's API key.")] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM certificates to trust for https instead of the system's.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model to ask for, instead of the workload's.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Makes arrivals and prompts reproducible. Default: a new one, so that no prefix cache knows the prompts.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", callback=writable_folder, help="Folder for samples and summary. Default: out/bench/WORKLOAD.")
    ] = None,
    evidence: EvidenceOption = None,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Run so many times, each with a seed of its own, into DIR/run-1 and so on; repeats.json has the intervals.")
    ] = 1,
    tokenizer: Annotated[
        Path | None,
        typer.Option("--tokenizer", metavar="PATH", help="The model's folder or tokenizer.json, for exact lengths and to check the server's token counts."),
    ] = None,
    keep_text: Annotated[bool, typer.Option("--keep-text", help="Keep the answers' text in the samples.")] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, max=256, help="Processes that share the load: one drives thousands of streams.")] = 1,
    engine: Annotated[
        Engine,
        typer.Option("--engine", help="Where the workers run: as processes here, or on the Ray cluster that RAY_ADDRESS names (without it: a small one here)."),
    ] = Engine.local,
    metrics_url: Annotated[
        str | None, typer.Option("--metrics-url", metavar="URL", help="The engine's Prometheus page. Default: /metrics of --url, where it answers.")
    ] = None,
    metrics_key_file: Annotated[Path | None, typer.Option("--metrics-key-file", metavar="FILE", help="File that holds a key for that page.")] = None,
    prometheus_port: Annotated[
        int | None, typer.Option("--prometheus-port", min=1, max=65535, help="Serve the run's own metrics on loopback while it lasts.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch/--no-watch", help="Sample the engine's metrics and this host while the run lasts.")] = True,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", metavar="FILE", help="Store what `bench calibrate` found of this client with the result.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Drive an endpoint with a workload and report latency, rates and errors.

    Exit status 0: done and valid; 1: the load generator could not keep up or no request succeeded, so the figures must not be quoted;
    2: the workload or the endpoint cannot be used; 130: interrupted, what was measured is kept.
    """
    from bench.calibration.lookup import load_calibration
    from bench.load.crew import Crew
    from bench.load.endpoint import read_api_key
    from bench.repeats import run_repeats
    from bench.results.keep import Keep
    from bench.run import RunOptions, Watching, new_seed, run_workload
    from stack.runtime.progress import Reporter

    chosen = _load(workload, model, tokenizer)
    place = out or Path("out") / "bench" / chosen.name
    api_key, reporter = read_api_key(api_key_file), Reporter()
    options = RunOptions(
        crew=Crew(workers=workers, engine=engine.value),
        watching=Watching(on=watch, metrics_url=metrics_url, metrics_key_file=metrics_key_file, prometheus_port=prometheus_port),
        keep=Keep(text=keep_text, find_counter=_token_counter(chosen, tokenizer)),
        calibration=None if calibration is None else load_calibration(calibration),
    )

    def once(folder: Path, its_seed: int | None) -> "Summary":
        summary = run_workload(chosen, url=url, api_key=api_key, out=folder, seed=its_seed, ca_file=ca_file, reporter=reporter, options=options)
        if evidence is not None:
            _write_evidence(evidence, summary, folder)
        return summary

    found, summaries = (None, [once(place, seed)]) if repeats == 1 else run_repeats(repeats, out=place, seed=new_seed() if seed is None else seed, run=once)
    if as_json:
        print_json(found or summaries[0])
    else:
        for number, summary in enumerate(summaries, 1):
            _show(summary, place if repeats == 1 else place / f"run-{number}")
        if found is not None:
            _show_repeats(found, place)
    if summaries[-1].state == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if not all(summary.valid for summary in summaries):
        raise typer.Exit(1)


def _load(workload: str, model: str | None, tokenizer: Path | None) -> "Workload":
    """The tokenizer goes into a workload whose prompts have a use for one."""
    from bench import load_workload

    chosen = load_workload(workload, model=model)
    return load_workload(workload, model=model, tokenizer=tokenizer) if tokenizer is not None and hasattr(chosen.prompts, "tokenizer") else chosen


def _token_counter(workload: "Workload", tokenizer: Path | None) -> "Callable[[], Counter | None]":
    """Counts with the tokenizer that is given, which is loaded at once, or later with that of a model of the catalog on this machine."""
    from bench.prompts.tokenizer import count_tokens, find_tokenizer, load_tokenizer

    def load(path: Path | None) -> "Counter | None":
        return None if path is None else partial(count_tokens, load_tokenizer(path))

    given = tokenizer or getattr(workload.prompts, "tokenizer", None)
    if given is None:
        return lambda: load(find_tokenizer(None, model=workload.model))
    counter = load(given)
    return lambda: counter


def _write_evidence(store: Path, summary: "Summary", place: Path) -> None:
    from bench.evidence import draft
    from stack.evidence import EvidenceStore

    EvidenceStore(store).write(*draft(summary, place))


def _in_words(workload: "Workload") -> tuple[str, str, str]:
    from bench.workload.words import arrivals_in_words, prompts_in_words, stop_in_words

    return arrivals_in_words(workload.arrivals), prompts_in_words(workload.prompts), stop_in_words(workload.stop)


def _show(summary: "Summary", place: Path) -> None:
    pattern, prompts, _ = _in_words(summary.workload)
    print_table(
        ("ms", "n", "mean", "p50", "p90", "p95", "p99", "p99 <="),
        [(name.removesuffix("_ms"), *_cells(getattr(summary.metrics, name))) for name in type(summary.metrics).model_fields],
        title=f"{summary.workload.name}: {pattern}; {prompts}; model {summary.workload.model}",
    )
    typer.echo("p99 <=: bound that holds with 99 % confidence, or how many more requests it takes (docs/metrics.md)")
    for line in _lines(summary):
        typer.echo(line)
    typer.echo(f"samples and summary: {place}")


def _show_repeats(repeats: "Repeats", place: Path) -> None:
    print_table(
        ("figure", "runs", "mean", "95 % interval over runs"),
        [
            (name, len(figure.values), _number(figure.mean), "-" if figure.interval_95 is None else " to ".join(map(_number, figure.interval_95)))
            for name, figure in repeats.figures.items()
        ],
        title=f"{len(repeats.runs)} runs",
    )
    typer.echo(f"repeats: {place}")


def _cells(metric: "Metric") -> tuple[str, ...]:
    """The last one is the certified bound, or how many more samples it takes."""
    bound, missing = metric.certified.p99, metric.missing_samples.p99
    certified = _number(bound) if bound is not None else f"+{missing}" if metric.count and missing else "-"
    return (str(metric.count), *(_number(value) for value in (metric.mean, metric.p50, metric.p90, metric.p95, metric.p99)), certified)


def _lines(summary: "Summary") -> list[str]:
    from bench.system.words import lines as system_lines

    requests, rates, client, goodput = summary.requests, summary.rates, summary.client, summary.goodput
    failures = "".join(f", {count} {name}" for name, count in requests.by_class.items())
    lines = [
        f"requests: {requests.sent} sent, {requests.ok} ok, {requests.failed} failed{failures}, {requests.cancelled} cancelled (warm-up: {requests.warmup})",
        f"rates: {_number(rates.requests_per_s)} requests/s of {_number(rates.offered_requests_per_s)} offered, "
        f"{_number(rates.output_tokens_per_s)} output tokens/s, {_number(rates.input_tokens_per_s)} input tokens/s",
    ]
    if goodput is not None and goodput.share is not None:
        limits = ", ".join(f"{name} <= {limit:g}" for name, limit in goodput.slo.model_dump(exclude_none=True).items())
        lines.append(f"goodput: {goodput.share:.1%} of requests met {limits}")
    if summary.quality is not None and (accuracy := summary.quality.accuracy) is not None and accuracy.accuracy is not None:
        lines.append(f"accuracy: {accuracy.accuracy:.1%} ({accuracy.right} of {accuracy.asked} right; floor {accuracy.floor:.1%})")
    if summary.quality is not None and (lengths := summary.quality.lengths) is not None and lengths.ratio is not None:
        lines.append(f"output length: {lengths.output_tokens_mean:.1f} tokens on average, {lengths.ratio:.2f} of the reference's")
    lines += [
        f"client: {_number(client.cpu_us_per_token)} us CPU a token, {client.cpu_share:.0%} of a core, "
        f"loop lag p99 {_number(client.loop_lag_ms_p99)} ms, {client.peak_rss_mb:.0f} MB; seed {summary.seed}",
        *(system_lines(summary.system) if summary.system is not None else ()),
        *(f"note: {note}" for note in summary.notes),
        "VALID" if summary.valid else "INVALID: " + "; ".join(summary.invalid_reasons),
    ]
    return lines


def _number(value: float | None) -> str:
    """Two decimals below 100, one below 1000, none from there on: a table that fits 80 columns."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 100 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"
