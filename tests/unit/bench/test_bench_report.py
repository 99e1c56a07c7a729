"""The page of a run: complete in itself, honest about the verdict, quick and small however many requests there are."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bench_kit import MS, request, workload, write
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.quality.models import AccuracyView, LengthView, QualityView
from bench.report import REPORT, write_report
from bench.report.charts import MOST_DOTS, MOST_ROWS, distributions, number, over_time
from bench.report.curves import Run, curves
from bench.report.page import run_page
from bench.report.series import bins, course, in_flight, spread, thin, tokens_per_s
from bench.report.words import quality
from bench.report.write import find_runs, report_folder
from bench.results.files import REQUESTS, SYSTEM
from bench.results.metrics import summarize
from bench.results.reconcile import Finding
from bench.results.samples import Samples
from bench.results.summary import Summary
from bench.system.readings import SOURCES
from bench.system.table import SYSTEM_SCHEMA, WATCH_KEY, SourceState, WatchInfo
from stack.runtime.svg import GRID_X, GRID_Y, Axis, Bar, Plot, bars, ecdf_points, nice_ticks, tick_text

NOTHING = {"first_content_ns": None, "first_visible_ns": None, "last_content_ns": None, "n_first": None, "chunks": 0, "completion_tokens": None}


class Parsed(HTMLParser):
    """Start tags with their attributes; an end tag that closes another element than the open one is an error."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, page: bytes | str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page if isinstance(page, str) else page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [request(index, **changes) for index in range(count)]


def drawn(samples: Samples, findings: tuple[Finding, ...] = ()) -> str:
    return run_page(samples, summarize(samples), folder="here", findings=findings).decode()


def marks(svg: str, look: str) -> int:
    """How many points a path of one look has."""
    return sum(path.count("M") for path in re.findall(rf'class="[^"]*\b{look}" d="([^"]*)"', svg))


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page = drawn(write(tmp_path, rows(20)))
    parsed = Parsed(page)
    assert parsed.open == []
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "img", "iframe", "object", "embed", "form"}
    assert "default-src 'none'" in next(attrs["content"] or "" for tag, attrs in parsed.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert not any(name == "style" or name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert "url(" not in page
    assert "@import" not in page
    places = {attrs["id"] for _, attrs in parsed.tags if "id" in attrs}
    assert all((attrs["href"] or "")[1:] in places for tag, attrs in parsed.tags if tag == "a")


def test_every_plot_has_a_title_and_is_well_formed(tmp_path: Path) -> None:
    samples = write(tmp_path, rows(20))
    run = course(samples)
    charts = [*distributions(run, open_loop=True), *over_time(run, summarize(samples).window)]
    assert len(charts) == 9
    for chart in charts:
        root = ET.fromstring(chart.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == root.findtext("title")


def test_a_valid_run_says_so_and_an_invalid_one_says_why_in_plain_words(tmp_path: Path) -> None:
    assert "VALID</strong>The load generator kept up" in drawn(write(tmp_path, rows(20)))
    page = drawn(
        write(tmp_path, rows(20, dispatched_ns=2000 * MS, sent_ns=2001 * MS, first_content_ns=2050 * MS, last_content_ns=2090 * MS, closed_ns=2100 * MS))
    )
    assert "INVALID</strong>Do not quote these figures." in page
    assert "<strong>client-bound: " in page
    assert "latencies contain its delay as well as the server" in page


def test_files_that_disagree_make_the_page_invalid_and_are_named(tmp_path: Path) -> None:
    page = drawn(write(tmp_path, rows(20)), (Finding("summary.json: requests.ok", "20", "21"),))
    assert "<title>tiny: INVALID</title>" in page
    assert "summary.json: requests.ok: expected 20, found 21" in page


def test_figures_of_the_page_are_those_of_the_summary(tmp_path: Path) -> None:
    summary = summarize(samples := write(tmp_path, [request(index, first_content_ns=(index * 101 + 53) * MS) for index in range(39)]))
    page = drawn(samples)
    for metric in ("ttft_ms", "tpot_ms", "e2e_ms"):
        row = page[page.index(f'mono">{metric}</span>') :].partition("</tr>")[0]
        for name in ("mean", "p50", "p99"):
            value = getattr(getattr(summary.metrics, metric), name)
            assert f'data-label="{name}">{number(value)}<' in row
    assert "623 more to certify" in page
    assert f"{summary.requests.ok} of {summary.requests.sent}" in page


def test_an_interval_and_a_certified_bound_stand_below_their_figure(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    made = [request(index, first_content_ns=(index * 100 + 30) * MS + int(generator.integers(20 * MS))) for index in range(700)]
    summary = summarize(samples := write(tmp_path, made))
    interval, bound = summary.metrics.ttft_ms.interval_95.p50, summary.metrics.ttft_ms.certified.p99
    assert interval is not None
    page = drawn(samples)
    assert f"{number(interval[0])} to {number(interval[1])}</span>" in page
    assert f"≤ {number(bound)} certified" in page


def test_names_from_outside_are_text_and_never_markup(tmp_path: Path) -> None:
    page = drawn(write(tmp_path, rows(3), workload(model="<b>x</b>"), url="http://h/?<script>"))
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<script>" not in page


@pytest.mark.parametrize(
    "made",
    [
        [request(0)],
        [request(0, phase="warmup")],
        [request(index, status="refused", sent_ns=None, http_status=None, **NOTHING) for index in range(3)],
        [request(0, status="cancelled", **NOTHING), request(1, status="http_503", **NOTHING)],
        [request(0, completion_tokens=None, prompt_tokens=None)],
        [request(0, **{**NOTHING, "completion_tokens": 0})],
        [request(0, intended_ns=0, dispatched_ns=0, sent_ns=0, closed_ns=0, **NOTHING)],
    ],
    ids=["one", "only-warm-up", "refused", "cancelled-and-refused", "no-usage", "no-content", "no-time"],
)
@pytest.mark.parametrize("loop", [{"kind": "poisson", "rate": 10}, {"kind": "concurrency", "streams": 2}], ids=["open", "closed"])
def test_a_run_with_little_or_nothing_in_it_still_has_a_page(tmp_path: Path, made: list[dict[str, Any]], loop: dict[str, Any]) -> None:
    page = drawn(write(tmp_path, made, workload(arrivals=loop)))
    assert Parsed(page).open == []
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", page)


def test_failures_are_counted_by_class_and_told_in_words(tmp_path: Path) -> None:
    made = [*rows(6), request(6, status="timeout", **NOTHING), request(7, status="http_503", **NOTHING), request(8, status="timeout", **NOTHING)]
    page = drawn(write(tmp_path, made))
    assert "timeout: not over in time" in page
    assert "2 (22.2%)" in page
    assert "http_503: refused by the server" in page
    assert "∞" in page
    assert 'id="failures"' not in drawn(write(tmp_path, rows(6)))


@pytest.mark.slow
def test_ten_times_the_requests_make_hardly_more_of_a_page(tmp_path: Path) -> None:
    few, many = (drawn(write(tmp_path, rows(count))) for count in (2000, 20_000))
    assert len(few) < 300_000
    assert len(many) < 1.2 * len(few)
    assert len(Parsed(many).tags) == len(Parsed(few).tags)


def test_a_failure_among_thousands_stays_in_the_timeline(tmp_path: Path) -> None:
    made = rows(3000)
    made[1234] = request(1234, status="truncated", completion_tokens=None)
    samples = write(tmp_path, made)
    timeline = over_time(course(samples), None)[0]
    assert marks(timeline.svg, "square fault") == 1
    assert MOST_ROWS <= marks(timeline.svg, "wait") + marks(timeline.svg, "wait fault") <= MOST_ROWS + 1
    assert ("square fault", "failed") in timeline.legend


def test_requests_in_flight_are_those_sent_and_not_over(tmp_path: Path) -> None:
    run = course(write(tmp_path, [request(0, closed_ns=250 * MS), request(1), request(2, sent_ns=None, status="refused", **NOTHING)]))
    assert in_flight(run, np.array([0.0, 0.01, 0.11, 0.21, 0.26])).tolist() == [0, 1, 2, 1, 0]


def test_tokens_over_time_add_up_to_the_tokens_of_successful_requests(tmp_path: Path) -> None:
    run = course(write(tmp_path, [*rows(9, completion_tokens=20), request(9, status="truncated", completion_tokens=None)]))
    edges = bins(run.end_s)
    assert (tokens_per_s(run, edges) * np.diff(edges)).sum() == pytest.approx(180)
    assert edges[-1] >= run.end_s


@given(st.lists(st.floats(0, 1e9), max_size=300), st.integers(3, 40))
def test_thinning_keeps_order_and_extremes(values: list[float], most: int) -> None:
    array = np.array(values)
    kept = thin(array, most)
    assert len(kept) <= max(len(values) if len(values) <= most else 0, most)
    assert (np.diff(kept) > 0).all()
    if values:
        assert (array[kept].min(), array[kept].max()) == (min(values), max(values))


@given(st.integers(0, 500), st.integers(2, 50))
def test_a_spread_reaches_from_first_to_last(count: int, most: int) -> None:
    kept = spread(count, most).tolist()
    assert len(kept) == min(count, most)
    assert kept == sorted(set(kept))
    assert not kept or (kept[0], kept[-1]) == (0, count - 1)


def test_a_scatter_is_thinned_and_keeps_its_largest_value(tmp_path: Path) -> None:
    made = rows(4000)
    made[2222] = request(2222, last_content_ns=232_000 * MS, first_content_ns=231_000 * MS, closed_ns=233_000 * MS)
    ttft = next(chart for chart in over_time(course(write(tmp_path, made)), None) if chart.title.startswith("Time to first token"))
    assert marks(ttft.svg, "small one") <= MOST_DOTS
    assert "of 4,000 are drawn" in ttft.caption


def test_a_long_tail_is_cut_and_said_to_be(tmp_path: Path) -> None:
    made = rows(300)
    made[7] = request(7, last_content_ns=99_000 * MS, first_content_ns=90_000 * MS, closed_ns=99_001 * MS)
    ttft = distributions(course(write(tmp_path, made)), open_loop=True)[0]
    assert "The largest 1, up to 89,300\u00a0ms, lie beyond the right edge." in ttft.caption
    assert ("largest", "89,300\u00a0ms") in ttft.rows
    assert ">80<" in ttft.svg
    assert ">89300<" not in ttft.svg


@given(st.floats(min_value=0, max_value=1e12, allow_nan=False))
def test_ticks_begin_at_zero_are_even_and_reach_the_top(top: float) -> None:
    ticks = nice_ticks(top)
    assert ticks[0] == 0
    assert ticks[-1] >= top * (1 - 1e-9)
    assert 2 <= len(ticks) <= 7
    assert all(later > earlier for earlier, later in pairwise(ticks))
    tight = Axis.up_to(top, tight=True)
    assert all(tick <= tight.end * (1 + 1e-9) for tick, _ in tight.ticks)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.5, "0.5"), (8000, "8000"), (20_000, "20k"), (3_000_000, "3M"), (1.5e9, "1.5G")])
def test_ticks_are_short(value: float, text: str) -> None:
    assert tick_text(value) == text


@given(st.lists(st.floats(min_value=0, max_value=1e9, allow_nan=False), min_size=1, max_size=400))
def test_a_distribution_is_drawn_inside_its_frame_and_the_same_each_time(values: list[float]) -> None:
    places, shares = ecdf_points(values)
    again = ecdf_points(values[::-1])
    assert (places.tolist(), shares.tolist()) == (again[0].tolist(), again[1].tolist())
    assert (places[-1], shares[-1]) == (max(values), 1)
    plot = Plot("A <plot>", Axis.up_to(max(values), "ms"), Axis.shares())
    plot.steps(places, shares, "one")
    drawn = plot.svg()
    assert "<plot>" not in drawn
    path = re.search(r' d="M(\d+) (\d+)([^"]+)"', drawn)
    assert path is not None
    assert all(0 <= int(x) <= GRID_X for x in re.findall(r"H(\d+)", path.group(3)))
    assert all(0 <= int(y) <= GRID_Y for y in re.findall(r"V(\d+)", path.group(3)))


def test_bars_keep_to_their_track_and_escape_their_words() -> None:
    plot = bars([Bar("accuracy & more", 1.7, "170 %", "bad"), Bar("none", -1, "0")], title="T", end=1.0)
    assert 'width="360.0"' in plot
    assert 'width="0.0"' in plot
    assert "accuracy &amp; more" in plot
    assert Parsed(plot).open == []


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (float("nan"), "-"), (0.0, "0"), (0.01234, "0.0123"), (9.876, "9.88"), (123.45, "123.5"), (12345.6, "12,346")]
)
def test_numbers_have_the_digits_that_people_read(value: float | None, text: str) -> None:
    assert number(value) == text
    assert number(1.0, "ms") == "1.00\u00a0ms"


def stored(folder: Path, made: list[dict[str, Any]], **run: Any) -> Summary:
    """A folder as a run leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = summarize(write(folder, made, **run))
    (folder / "summary.json").write_text(summary.model_dump_json())
    (folder / "workload.yaml").write_text(summary.workload.model_dump_json(exclude_none=True))
    return summary


def test_a_report_is_written_beside_the_samples_the_same_each_time(tmp_path: Path) -> None:
    stored(tmp_path, rows(20))
    first = write_report(tmp_path).read_bytes()
    assert write_report(tmp_path) == tmp_path / REPORT
    assert (tmp_path / REPORT).read_bytes() == first


def test_a_page_that_cannot_be_drawn_is_a_note_and_never_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not write_report(tmp_path / "nowhere").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: no report.html: ")


def test_a_run_that_lost_its_summary_is_reported_from_its_samples(tmp_path: Path) -> None:
    stored(tmp_path, rows(20))
    (tmp_path / "summary.json").unlink()
    (page,) = report_folder(tmp_path)
    assert any("summary.json" in finding for finding in page.findings)
    assert "20 of 20" in page.path.read_text()


@pytest.mark.slow
def test_a_folder_of_runs_gets_a_page_for_each_and_one_with_curves(tmp_path: Path) -> None:
    for rate in (5, 10, 20):
        stored(tmp_path / f"rate-{rate}", rows(20), load=workload(arrivals={"kind": "poisson", "rate": rate}))
    stored(tmp_path / "deeper" / "cut", rows(20), state="interrupted")
    written = report_folder(tmp_path)
    assert [page.path.relative_to(tmp_path).as_posix() for page in written] == [
        "deeper/cut/report.html",
        "rate-10/report.html",
        "rate-20/report.html",
        "rate-5/report.html",
        "report.html",
    ]
    assert not any(page.findings for page in written)
    page = (tmp_path / REPORT).read_text()
    assert "Speed for each user against speed of the whole" in page
    (tmp_path / "curve.json").write_text('{"devices": 2}')
    report_folder(tmp_path)
    assert "Speed for each user against speed of each device" in (tmp_path / REPORT).read_text()
    parsed = Parsed(page)
    assert parsed.open == []
    assert all((tmp_path / (attrs["href"] or "")).is_file() for tag, attrs in parsed.tags if tag == "a")
    assert "interrupted" in page
    assert "Time to first token, p99, against throughput" in page


def test_a_curve_joins_loads_in_their_order_and_leaves_out_invalid_runs(tmp_path: Path) -> None:
    runs = []
    for place, streams in enumerate((8, 2, 4, 4)):
        summary = stored(tmp_path / str(place), rows(20), load=workload(arrivals={"kind": "concurrency", "streams": streams}))
        rates = summary.rates.model_copy(update={"output_tokens_per_s": 100.0 * streams + place})
        runs.append(Run(f"run-{place}", summary.model_copy(update={"rates": rates, "valid": place != 0}), "x"))
    chart = curves(runs)[0]
    assert [row[:2] for row in chart.rows] == [("run-1", "2"), ("run-2", "4"), ("run-3", "4"), ("run-0", "8")]
    line = re.search(r'class="line one" d="([^"]*)"', chart.svg)
    assert line is not None
    assert line.group(1).count("L") == 1
    assert marks(chart.svg, "dots one") == 3
    assert marks(chart.svg, "square fault") == 1
    assert ("square fault", "invalid run") in chart.legend
    assert curves(runs[:1]) == ()


def test_a_folder_without_a_run_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="holds no run"):
        find_runs(tmp_path)


def test_samples_that_cannot_be_read_are_named_with_their_folder(tmp_path: Path) -> None:
    stored(tmp_path, rows(2))
    (tmp_path / REQUESTS).write_bytes(b"nonsense")
    with pytest.raises(BenchError, match=re.escape(str(tmp_path))):
        report_folder(tmp_path)


def watched(folder: Path, *, end_ms: int) -> None:
    """A watch of the system under test over hand-made rows: two engines, one GPU, one CPU."""
    states = {source: SourceState(samples=10, failures=0, reason="") for source in SOURCES}
    states["energy"] = SourceState(samples=0, failures=1, reason="no RAPL")
    info = WatchInfo(started_ns=0, every_s=0.1, metrics_url="http://127.0.0.1:1/metrics", same_host=True, sources=states, fault="")
    first, second = json.dumps({"engine": "0"}), json.dumps({"engine": "1"})
    readings = (
        ("engine", "num_requests_running", first, 3.0),
        ("engine", "num_requests_running", second, 4.0),
        ("engine", "num_requests_waiting", first, 1.0),
        ("engine", "kv_cache_usage_perc", first, 0.5),
        ("accelerator", "power_w", json.dumps({"gpu": "0", "name": "x"}), 250.0),
        ("host", "cpu_percent", "{}", 40.0),
    )
    rows = [(at, *reading) for at in range(-100, end_ms + 100, 100) for reading in readings]
    columns = zip(*((at * MS, *row) for at, *row in rows), strict=True)
    schema = SYSTEM_SCHEMA.with_metadata({WATCH_KEY: info.model_dump_json().encode()})
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)
    pq.write_table(table, folder / SYSTEM)


def test_the_system_under_test_has_a_panel_with_its_gauges_over_time(tmp_path: Path) -> None:
    watched(tmp_path, end_ms=2000)
    page = drawn(write(tmp_path, rows(20)))
    assert Parsed(page).open == []
    section = page[page.index('<section id="system">') :].partition("</section>")[0]
    for title in ("Requests in the engine", "KV cache in use", "Power of the accelerators", "CPU of the load generator&#39;s host"):
        assert f"<figcaption>{title}</figcaption>" in section
    assert "Accelerators busy" not in section
    assert "7.00 on average, at most 7.00" in section
    assert ">50.00</td>" in section
    assert "no RAPL" in section


def test_answers_are_judged_on_the_page_where_the_workload_asks(tmp_path: Path) -> None:
    summary = summarize(write(tmp_path, rows(20)))
    assert quality(summary) == ()
    accuracy = AccuracyView(
        score="exact_match", task_sha256="0", asked=100, right=60, failed=1, accuracy=0.6, interval_95=(0.502, 0.691), floor=0.5, holds=True
    )
    lengths = LengthView(requests=20, output_tokens_mean=5.0, interval_95=None, reference=10.0, ratio=0.5, low=0.9, high=1.1, holds=False)
    judged = quality(summary.model_copy(update={"quality": QualityView(accuracy=accuracy, lengths=lengths)}))
    assert judged[0] == ("Right answers", "60.0% (60 right of 100 asked, 1 failed, 95 % interval 50.2% to 69.1%); floor 50.0%: holds")
    assert judged[1] == ("Length of answers", "5.00 tokens on average against 10.00 (0.5 times, 0.9 to 1.1 allowed): does not hold")


def test_a_run_that_was_not_watched_has_no_panel(tmp_path: Path) -> None:
    assert 'id="system"' not in drawn(write(tmp_path, rows(20)))
