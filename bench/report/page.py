"""Draws report.html: one file that needs no network, no script and no second file to be read."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.report import words
from bench.report.charts import by_slice, distributions, failures, number, over_time
from bench.report.curves import Run, curves
from bench.report.series import Course, course
from bench.report.system import Panel, panel
from bench.results.reconcile import Finding
from bench.results.samples import Samples
from bench.results.summary import Summary
from stack.runtime.page import LOOK, content_policy

TEMPLATES = Path(__file__).parent / "templates"


def run_page(samples: Samples, summary: Summary, *, folder: str, findings: Sequence[Finding] = ()) -> bytes:
    """The page of one run; `findings` are what `reconcile` holds against its files."""
    drawn = course(samples)
    return _render(
        "run.html",
        summary=summary,
        folder=folder,
        valid=summary.valid and not findings,
        reasons=words.reasons(summary),
        findings=findings,
        rows=words.metric_rows(summary),
        asked=words.asked(summary),
        rates=words.rates(summary),
        client=words.client(summary),
        compat=words.by_other_tools(summary),
        tails=words.tails(summary),
        steadiness=words.steadiness(summary),
        quality=words.quality(summary),
        workers=samples.run.workers,
        system=_system(samples, summary, drawn),
        distributions=distributions(drawn, open_loop=summary.workload.open_loop),
        over_time=over_time(drawn, summary.window) if drawn.measured.any() else (),
        slices=by_slice(drawn) if drawn.measured.any() else (),
        failures=failures(summary),
        workload=summary.workload.model_dump_json(indent=2, exclude_none=True),
    )


def _system(samples: Samples, summary: Summary, drawn: Course) -> Panel | None:
    """Nothing where the system under test was not watched."""
    if summary.system is None:
        return None
    return panel(summary.system, samples.system, model=summary.workload.model, end_s=drawn.end_s, window=summary.window)


def overview_page(runs: Sequence[Run], *, title: str, devices: int | None = None) -> bytes:
    """The page of several runs: their table and their curves."""
    return _render("overview.html", title=title, runs=runs, charts=curves(runs, devices=devices))


def _render(template: str, **values: object) -> bytes:
    style = LOOK.read_text() + (TEMPLATES / "report.css").read_text()
    page = _environment().get_template(template).render(style=Markup(style), csp=content_policy(style), **values)  # noqa: S704 - our own file, not input
    return page.encode()


@cache
def _environment() -> Environment:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    return environment
