"""A workload file is small, strict, and says which field is wrong."""

import hashlib
from pathlib import Path

import pytest
import yaml

from bench import BenchError, load_workload, ready_workloads
from bench.workload.files import input_digests

SMALLEST = '{model: mock, arrivals: {kind: concurrency, streams: 64}, prompts: {kind: text, text: "hello", max_tokens: 128}, stop: {requests: 256}}'


def put(folder: Path, text: str) -> Path:
    path = folder / "load.yaml"
    path.write_text(text)
    return path


def test_the_smallest_closed_loop_file_works(tmp_path: Path) -> None:
    workload = load_workload(put(tmp_path, SMALLEST))
    assert (workload.name, workload.open_loop, workload.prompts.salt, workload.warmup.requests) == ("load", False, True, 0)


def test_the_smallest_open_loop_file_works(tmp_path: Path) -> None:
    assert load_workload(put(tmp_path, SMALLEST.replace("kind: concurrency, streams: 64", "kind: poisson, rate: 300"))).open_loop


@pytest.mark.parametrize(
    ("was", "becomes", "field"),
    [
        ("streams: 64", "streams: 0", "arrivals.concurrency.streams"),
        ("streams: 64", "stream: 64", "arrivals.concurrency.streams"),
        ("kind: concurrency, streams: 64", "kind: poisson, rate: -3", "arrivals.poisson.rate"),
        ("kind: concurrency", "kind: wishful", "arrivals"),
        ("requests: 256", "{}", "stop"),
        ("max_tokens: 128", "max_tokens: many", "prompts.text.max_tokens"),
        ("model: mock", "model: mock, colour: red", "colour"),
    ],
)
def test_a_wrong_field_is_named_in_one_line(tmp_path: Path, was: str, becomes: str, field: str) -> None:
    text = SMALLEST.replace(was, becomes) if becomes != "{}" else SMALLEST.replace("{requests: 256}", "{}")
    with pytest.raises(BenchError) as caught:
        load_workload(put(tmp_path, text))
    assert f"field `{field}`" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[", "just words", "- a\n- list", ""])
def test_what_is_not_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BenchError, match=r"load\.yaml"):
        load_workload(put(tmp_path, text))


def test_an_unknown_name_lists_the_ready_workloads() -> None:
    with pytest.raises(BenchError, match=r"chat-closed, chat-open"):
        load_workload("no-such-workload")


def test_ready_workloads_load_by_name_and_leave_the_model_open() -> None:
    assert {path.stem for path in ready_workloads()} >= {"chat-closed", "chat-open"}
    for path in ready_workloads():
        assert load_workload(path.stem).model is None
        assert load_workload(path.stem, model="some").model == "some"


def test_a_workload_survives_the_way_through_its_own_yaml(tmp_path: Path) -> None:
    workload = load_workload("chat-open", model="m")
    assert load_workload(put(tmp_path, yaml.safe_dump(workload.model_dump(mode="json", exclude_none=True)))) == workload


def test_the_files_that_a_workload_names_are_known_by_their_contents(tmp_path: Path) -> None:
    (tmp_path / "asked.jsonl").write_text('{"prompt": "hello"}\n')
    workload = load_workload(put(tmp_path, SMALLEST.replace('{kind: text, text: "hello"', "{kind: jsonl, file: asked.jsonl")))
    assert input_digests(workload) == {"prompts.file": hashlib.sha256(b'{"prompt": "hello"}\n').hexdigest()}
    (tmp_path / "asked.jsonl").unlink()
    with pytest.raises(BenchError, match=r"field `prompts\.file`: .*asked\.jsonl: No such file"):
        input_digests(workload)
