"""The same dataset from Ray and from this process, whatever the endpoint does."""

import dataclasses
import threading
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from chat_server import KEY, MODEL, ChatServer
from labeling_notes import TEXTS, committed, dataset

from stack.pipelines import LocalExecutor, PipelineError, find_endpoint, load_pipeline, run_pipeline
from stack.pipelines.ray_executor import RayExecutor

pytestmark = pytest.mark.slow

BROKEN = {TEXTS[4]: "malformed", TEXTS[17]: 400, TEXTS[33]: 500}
"""Texts that the server never labels; the others fail at most once."""


def troubled(text: str, before: int) -> int | str | None:
    if text in BROKEN:
        return BROKEN[text]
    number = TEXTS.index(text)
    return None if before else {0: 429, 1: 503}.get(number % 10)


def test_ray_and_local_give_the_same_bytes_from_a_troubled_endpoint(notes: Path, ray_executor: RayExecutor, tmp_path: Path) -> None:
    pipeline = load_pipeline(str(notes))
    for name, executor in (("ray", ray_executor), ("local", LocalExecutor())):
        with ChatServer(fault=troubled, delay_s=0.01).running() as server:
            done = run_pipeline(pipeline, tmp_path / name, executor=executor, endpoint=find_endpoint(server.url, api_key_file=tmp_path / "key"))
        assert done.labeled == 60
        # Answered at once, on the second try, or given up: a 500 and an answer that is none after three attempts, a bad request after one.
        expected = {text: 2 if TEXTS.index(text) % 10 < 2 else 1 for text in TEXTS} | {TEXTS[33]: 3, TEXTS[17]: 1, TEXTS[4]: 3}
        assert dict(server.asked) == expected
        assert 2 <= server.peak <= 8
    assert dataset(tmp_path / "ray") == dataset(tmp_path / "local")
    rows = {row["text"]: row for row in pq.read_table(tmp_path / "ray" / "labels.parquet").to_pylist()}
    assert {text: row["model_error"] for text, row in rows.items() if row["model_error"]} == {
        TEXTS[4]: "not_json",
        TEXTS[17]: "http_400",
        TEXTS[33]: "http_500",
    }
    assert all(row["model_label"] is None and row["label"] == row["words_label"] for text, row in rows.items() if text in BROKEN)
    assert all(row["model_model"] == MODEL and row["model_prompt_tokens"] == len(text) for text, row in rows.items() if text not in BROKEN)
    assert done.card["counts"]["failed_votes"] == {"words": 0, "model": 3}
    assert not [name for name, content in dataset(tmp_path).items() if KEY.encode() in content and name != "key"]


def test_a_worker_that_is_killed_costs_no_committed_shard_again(notes: Path, ray_executor: RayExecutor, tmp_path: Path) -> None:
    once = threading.Lock()
    safe: set[str] = set()

    def kill_one_worker(_text: str, _before: int) -> None:
        # Many requests are served at once, and only one of them may kill.
        if sum(server.asked.values()) > 20 and once.acquire(blocking=False):
            worker = next(each for each in psutil.Process().children(recursive=True) if each.name().startswith("ray::run_shard"))
            safe.update(TEXTS[6 * shard + place] for shard in committed(tmp_path / "out") for place in range(6))
            worker.kill()

    with ChatServer(fault=kill_one_worker, delay_s=0.02).running() as server:
        endpoint = find_endpoint(server.url, api_key_file=tmp_path / "key")
        run_pipeline(load_pipeline(str(notes)), tmp_path / "out", executor=ray_executor, endpoint=endpoint)
        assert once.locked()
        assert safe
        assert {text for text in safe if server.asked[text] != 1} == set()
        # At most what was on its way: answers that had come were kept.
        assert 60 <= sum(server.asked.values()) <= 60 + 8
        run_pipeline(load_pipeline(str(notes)), tmp_path / "clean", executor=LocalExecutor(), endpoint=endpoint)
    assert dataset(tmp_path / "out") == dataset(tmp_path / "clean")


def test_when_the_endpoint_goes_away_the_run_ends_in_one_line_and_goes_on_later(notes: Path, ray_executor: RayExecutor, tmp_path: Path) -> None:
    pipeline = load_pipeline(str(notes))
    with ChatServer(fault=lambda text, _before: None if TEXTS.index(text) < 24 else 404).running() as server:
        endpoint = find_endpoint(server.url, api_key_file=tmp_path / "key")
        with pytest.raises(PipelineError, match="stopped answering") as caught:
            run_pipeline(pipeline, tmp_path / "out", executor=ray_executor, endpoint=endpoint)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "card.json").exists()
    with ChatServer().running() as server:
        done = run_pipeline(pipeline, tmp_path / "out", executor=ray_executor, endpoint=dataclasses.replace(endpoint, url=server.url))
    assert done.labeled < 60
    # Answers of shards that did not become whole are kept too.
    assert sum(server.asked.values()) <= done.labeled
    assert done.card["counts"]["failed_votes"] == {"words": 0, "model": 0}


def test_ray_listens_on_loopback_alone_and_wants_a_token(notes: Path, ray_executor: RayExecutor, tmp_path: Path) -> None:
    with ChatServer().running() as server:
        run_pipeline(
            load_pipeline(str(notes)), tmp_path / "out", executor=ray_executor, endpoint=find_endpoint(server.url, api_key_file=tmp_path / "key"), limit=6
        )
    tree = psutil.Process().children(recursive=True)
    rays = [each for each in tree if "ray" in each.name() or "gcs_server" in each.name()]
    assert {"raylet", "gcs_server"} <= {each.name() for each in rays}
    listening = [item.laddr.ip for each in rays for item in each.net_connections(kind="inet") if item.status == psutil.CONN_LISTEN]
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    environment = next(each for each in rays if each.name() == "raylet").environ()
    assert environment["RAY_AUTH_MODE"] == "token"
    token = Path(environment["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o077 == 0
    assert not [each.cmdline() for each in tree if token.read_text() in " ".join(each.cmdline())]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"api_key_file": None}, "refused a request without a key: give the right --api-key-file"),
        ({"model": "huge"}, "--model 'huge' is not served at .*: it has tiny"),
        ({"path": "/nowhere"}, "is not an OpenAI-compatible server: GET /v1/models answered 404"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_told_before_anything_runs(notes: Path, tmp_path: Path, arguments: dict[str, str | None], message: str) -> None:
    path = arguments.pop("path", "") or ""
    with ChatServer().running() as server, pytest.raises(PipelineError, match=message):
        find_endpoint(server.url + path, **{"api_key_file": tmp_path / "key", **arguments})  # type: ignore[arg-type]
    with pytest.raises(PipelineError, match="does not answer"):
        find_endpoint(server.url)
