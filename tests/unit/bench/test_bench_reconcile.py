"""A run's files agree, or the first reader is told where they do not: one broken folder for each finding."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from bench_kit import MS, request, tokens_of, workload, write

from bench.results.files import REQUESTS, SUMMARY, TOKENS, WORKLOAD
from bench.results.metrics import summarize
from bench.results.reconcile import PREFIX, Finding, reconcile, with_findings
from bench.results.summary import Summary

Row = dict[str, Any]


def rows() -> list[Row]:
    """Twelve requests in a steady stream: two warm up, one fails, one says nothing, one is cancelled."""
    made = [request(index) for index in range(12)]
    made[0]["phase"] = made[1]["phase"] = "warmup"
    nothing = {"first_content_ns": None, "first_visible_ns": None, "last_content_ns": None, "n_first": None, "chunks": 0}
    made[5] |= {"status": "refused", "sent_ns": None, "http_status": None, "prompt_tokens": None, "completion_tokens": None, **nothing}
    made[6] |= nothing
    made[7] |= {"status": "cancelled", "completion_tokens": None}
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    summary = summarize(write(tmp_path, rows(), workload(slo={"ttft_ms": 60})))
    (tmp_path / SUMMARY).write_text(summary.model_dump_json(indent=2))
    (tmp_path / WORKLOAD).write_text(yaml.safe_dump(summary.workload.model_dump(mode="json", exclude_none=True)))
    return tmp_path


def change_rows(folder: Path, name: str, change: Callable[[list[Row]], list[Row] | None]) -> None:
    """Rewrite the rows of one of the two tables, its metadata kept."""
    table = pq.read_table(folder / name)
    made = table.to_pylist()
    made = change(made) or made
    pq.write_table(pa.Table.from_pylist(made, schema=table.schema), folder / name)


def change_summary(folder: Path, *path: str, value: Any) -> None:
    document = inner = json.loads((folder / SUMMARY).read_text())
    for step in path[:-1]:
        inner = inner[step]
    assert inner[path[-1]] != value
    inner[path[-1]] = value
    (folder / SUMMARY).write_text(json.dumps(document))


def set_request(number: int, **values: Any) -> Callable[[list[Row]], None]:
    def change(made: list[Row]) -> None:
        made[number] |= values

    return change


def test_the_files_of_a_run_agree(folder: Path) -> None:
    assert reconcile(folder) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: [*made, made[3]], "request 3: expected one row, found 2 rows"),
        (set_request(4, dispatched_ns=399 * MS), "request 4: expected intended_ns <= dispatched_ns, found 400000000 and 399000000"),
        (set_request(4, sent_ns=399 * MS), "expected dispatched_ns <= sent_ns"),
        (set_request(4, sent_ns=460 * MS), "expected sent_ns <= first_content_ns"),
        (set_request(4, first_visible_ns=430 * MS), "expected first_content_ns <= first_visible_ns"),
        (set_request(4, first_visible_ns=500 * MS), "expected first_visible_ns <= last_content_ns"),
        (set_request(4, closed_ns=480 * MS), "expected last_content_ns <= closed_ns"),
        (set_request(6, closed_ns=601 * MS), "stamps of request 6: expected sent_ns <= closed_ns"),
        (set_request(4, sent_ns=None), "sent_ns of request 4: expected a stamp, found null"),
        (set_request(4, first_content_ns=None), "first_content_ns of request 4: expected a stamp, found null"),
        (set_request(4, chunks=6), "tokens.parquet: rows of request 4: expected 6, as `chunks` says, found 5"),
        (set_request(4, first_content_ns=451 * MS), "earliest token of request 4: expected first_content_ns 451000000, found 452000000"),
        (set_request(4, last_content_ns=493 * MS), "latest token of request 4: expected last_content_ns 493000000, found 492000000"),
        (set_request(4, status="http_500"), "requests.by_class: expected {'http_500': 1, 'refused': 1}"),
        (set_request(4, phase="warmup"), "requests.warmup: expected 3, by the rows of requests.parquet, found 2"),
        (set_request(4, prompt_tokens=4), "rates.input_tokens_per_s"),
    ],
)  # fmt: skip
def test_a_changed_row_of_requests_is_found(folder: Path, change: Callable[[list[Row]], list[Row] | None], words: str) -> None:
    change_rows(folder, REQUESTS, change)
    found = [str(finding) for finding in reconcile(folder)]
    assert any(words in line for line in found), found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: made[:-1], "rows of request 11: expected 5, as `chunks` says, found 4"),
        (lambda made: [*made, *tokens_of(request(99))], "tokens.parquet: request 99: expected a row in requests.parquet, found none"),
        (lambda made: [*made[2:], *made[:2]], "rows of request 0: expected one after another, found in 2 places"),
        (set_request(0, t_ns=0), "earliest token of request 0: expected first_content_ns 52000000, found 0"),
        (set_request(4, t_ns=10**12), "latest token of request 0"),
        (set_request(22, t_ns=455 * MS), "metrics.chunk_gap_ms.max"),
    ],
)  # fmt: skip
def test_a_changed_row_of_tokens_is_found(folder: Path, change: Callable[[list[Row]], list[Row] | None], words: str) -> None:
    change_rows(folder, TOKENS, change)
    found = [str(finding) for finding in reconcile(folder)]
    assert any(words in line for line in found), found


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("metrics", "ttft_ms", "p99"), 1.0, "summary.json: metrics.ttft_ms.p99: expected 52.0, as the samples give, found 1.0"),
        (("requests", "sent"), 11, "requests.sent: expected 10, by the rows"),
        (("requests", "ok"), 9, "requests.ok: expected 8"),
        (("requests", "cancelled"), 0, "requests.cancelled: expected 1"),
        (("requests", "failed"), 2, "requests.failed: expected 1"),
        (("requests", "by_class"), {}, "requests.by_class: expected {'refused': 1}"),
        (("requests", "warmup"), 0, "requests.warmup: expected 2"),
        (("window", "end_s"), 2.0, "summary.json: window: expected inside the run, 0.000000 to 1.202000 s"),
        (("rates", "output_tokens_per_s"), 100.0, "rates.output_tokens_per_s x"),
        (("rates", "input_tokens_per_s"), 100.0, "rates.input_tokens_per_s x"),
        (("rates", "offered_requests_per_s"), 100.0, "rates.offered_requests_per_s x"),
        (("rates", "requests_per_s"), 100.0, "rates.requests_per_s: expected"),
        (("valid",), False, "summary.json: valid: expected true, as the samples give, found false"),
        (("seed",), 8, "summary.json: seed: expected 7, as the samples give, found 8"),
        (("state",), "nonsense", "summary.json: expected a summary"),
    ],
)  # fmt: skip
def test_a_changed_figure_of_the_summary_is_found(folder: Path, path: tuple[str, ...], value: Any, words: str) -> None:
    change_summary(folder, *path, value=value)
    found = [str(finding) for finding in reconcile(folder)]
    assert any(words in line for line in found), found


def test_another_workload_beside_the_samples_is_found(folder: Path) -> None:
    document = yaml.load((folder / WORKLOAD).read_text(), yaml.CSafeLoader)
    document["arrivals"]["rate"] = 11
    (folder / WORKLOAD).write_text(yaml.safe_dump(document))
    assert [str(finding) for finding in reconcile(folder)] == ["workload.yaml: arrivals.rate: expected 10.0, found 11.0"]


@pytest.mark.parametrize("name", [REQUESTS, TOKENS, SUMMARY, WORKLOAD])
@pytest.mark.parametrize("content", [None, b"", b"PAR1 nonsense", b"{}", b"\xff\xfe"])
def test_a_file_that_is_gone_or_garbage_is_a_finding_and_no_crash(folder: Path, name: str, content: bytes | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    found = reconcile(folder)
    assert found[0].what == name
    assert all("\n" not in str(finding) for finding in found)


def test_a_table_of_other_columns_is_a_finding(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / TOKENS).drop_columns(["chars"]), folder / TOKENS)
    (finding,) = reconcile(folder)
    assert finding.what == TOKENS
    assert "it has the columns request, t_ns, kind, running_tokens, not" in finding.found


def test_samples_without_their_description_are_a_finding(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / REQUESTS).replace_schema_metadata(None), folder / REQUESTS)
    (finding,) = reconcile(folder)
    assert finding.expected == "the samples of a run"


def test_many_changed_figures_are_not_a_flood(folder: Path) -> None:
    document = json.loads((folder / SUMMARY).read_text())
    document["metrics"]["ttft_ms"] = document["metrics"]["tpot_ms"] = document["metrics"]["e2e_ms"] = {}
    (folder / SUMMARY).write_text(json.dumps(document))
    found = reconcile(folder)
    assert len(found) == 11
    assert "further fields" in found[-1].found


def test_findings_make_a_summary_invalid_and_are_not_found_in_it_again(folder: Path) -> None:
    summary = Summary.model_validate_json((folder / SUMMARY).read_bytes())
    assert with_findings(summary, []) is summary
    faulty = with_findings(summary, [Finding("a", "1", "2"), Finding("b", "1", "2")])
    assert not faulty.valid
    assert faulty.invalid_reasons[-1].startswith(f"{PREFIX}a: expected 1, found 2 (and 1 more")
    (folder / SUMMARY).write_text(faulty.model_dump_json())
    assert reconcile(folder) == []
