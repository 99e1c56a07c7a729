"""Several engines behind the real gateway: who answers, and what clients notice of a restart, a crash and a canary."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fleet_kit import MockFleet, start_mock_fleet
from openai import APIConnectionError, OpenAI

from stack.runtime.errors import StackproofError
from stack.serving.deployment import Canary, DeployedModel, Deployment
from stack.serving.errors import ServingError
from stack.serving.fleet import State
from stack.serving.models import CI_MODEL
from stack.serving.policy import Routing, load_policy
from stack.serving.pools import EngineSpec

pytestmark = pytest.mark.slow
ONE = Deployment(models=(DeployedModel(model=CI_MODEL),))
TWO = Deployment(models=(DeployedModel(model=CI_MODEL, replicas=2),))
CHAT = "/v1/chat/completions"


def body(text: str = "hello", *, model: str = CI_MODEL, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 4, **fields}


def wait_for(what: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockFleet]:
    with start_mock_fleet(tmp_path_factory.mktemp("two"), TWO, "--ttft-ms", "20", "--token-interval-ms", "5") as fleet:
        yield fleet


@contextmanager
def load(fleet: MockFleet, *, streams: int) -> Iterator[Counter[str]]:
    """Streamed requests one after the other on each of `streams` threads, counted by how they ended."""
    ended, done = Counter[str](), threading.Event()

    def ask() -> None:
        with fleet.client() as client:
            while not done.is_set():
                try:
                    answer = client.post(CHAT, json=body(stream=True))
                    whole = answer.status_code == 200 and answer.text.rstrip().endswith("data: [DONE]")
                    ended["ok" if whole else f"HTTP {answer.status_code}"] += 1
                except httpx.TransportError as error:
                    ended[type(error).__name__] += 1

    threads = [threading.Thread(target=ask) for _ in range(streams)]
    for thread in threads:
        thread.start()
    try:
        yield ended
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_both_engines_answer_and_a_restart_in_turn_fails_no_request(two: MockFleet) -> None:
    said: list[str] = []
    before = {name: keeper.child for name, keeper in two.fleet.keepers.items()}
    with load(two, streams=4) as ended:
        wait_for(lambda: ended["ok"] > 20)
        assert all(two.served(name) for name in two.fleet.keepers)
        two.fleet.restart_in_turn(two.admin, longest_s=20, say=said.append)
        at_the_end = ended["ok"]
        wait_for(lambda: ended["ok"] > at_the_end + 20)
    assert set(ended) == {"ok"}
    assert said == ["restarting engine-1", "engine-1 is ready again", "restarting engine-2", "engine-2 is ready again"]
    assert all(keeper.restarts == 1 and keeper.child is not before[name] for name, keeper in two.fleet.keepers.items())


def beside(engine: EngineSpec) -> EngineSpec:
    """There is room: as `place_beside` calls it."""
    return replace(engine, name=f"{engine.name}-new" if not engine.name.endswith("-new") else engine.name.removesuffix("-new"))


def no_room(_: EngineSpec) -> EngineSpec:
    raise ServingError("a second one needs 9.0 GiB, and 1.0 GiB are free")


def begun(client: httpx.Client, tokens: int) -> Iterator[str]:
    """A stream of `tokens` events, whose first has been read."""
    with client.stream("POST", CHAT, json=body(stream=True, max_tokens=tokens, min_tokens=tokens)) as answer:
        lines = answer.iter_lines()
        yield next(lines)
        yield from lines


def test_the_only_engine_is_replaced_by_one_beside_it_and_no_request_fails(tmp_path: Path) -> None:
    said: list[str] = []
    with start_mock_fleet(tmp_path, ONE, "--ttft-ms", "20", "--token-interval-ms", "20", beside=beside) as one, one.client() as client:
        keeper, address = one.fleet.keepers["engine"], one.fleet.addresses["engine"]
        long = begun(client, 150)  # three seconds
        next(long)
        with load(one, streams=4) as ended:
            wait_for(lambda: ended["ok"] > 20)
            one.fleet.restart_in_turn(one.admin, longest_s=20, say=said.append)
            at_the_end = ended["ok"]
            wait_for(lambda: ended["ok"] > at_the_end + 20)
        assert set(ended) == {"ok"}
        assert [line for line in long if line][-1] == "data: [DONE]"
        assert said == [
            "starting a new engine beside the old one",
            "the new engine is ready, the old one finishes what it has",
            "engine is ready again",
        ]
        assert one.fleet.addresses["engine"] != address
        assert (keeper.state, one.fleet.keepers["engine"].state) == (State.STOPPED, State.READY)
        assert one.fleet.keepers["engine"].restarts == 1
        # It is kept running like the one before, and the next takes the first place again.
        one.fleet.restart_in_turn(one.admin, longest_s=20, say=said.append)
        assert one.fleet.addresses["engine"] == address
        assert client.post(CHAT, json=body()).status_code == 200
        assert one.served("engine")
        assert one.served("engine-new")


def test_without_room_the_only_engine_is_stopped_first_and_it_is_said_why(tmp_path: Path) -> None:
    said: list[str] = []
    with start_mock_fleet(tmp_path, ONE, beside=no_room) as one, one.client() as client:
        one.fleet.restart_in_turn(one.admin, longest_s=20, say=said.append)
        assert said[0] == "restarting engine, which is stopped first: a second one needs 9.0 GiB, and 1.0 GiB are free"
        wait_for(lambda: client.post(CHAT, json=body()).status_code == 200)


def test_a_deployment_that_must_not_fail_a_request_is_left_alone_where_there_is_no_room(tmp_path: Path) -> None:
    with start_mock_fleet(tmp_path, ONE, beside=no_room, must_surge=True) as one, one.client() as client:
        child = one.fleet.keepers["engine"].child
        with pytest.raises(ServingError, match="engine goes on as it is, for the deployment says `restart: surge`, and a second one needs"):
            one.fleet.restart_in_turn(one.admin, longest_s=20, say=lambda _: None)
        assert one.fleet.keepers["engine"].child is child
        assert client.post(CHAT, json=body()).status_code == 200


def test_a_new_engine_that_does_not_come_up_leaves_the_old_one_as_it_is(tmp_path: Path) -> None:
    wrong = {"engine-new": ("--no-such-option",)}
    with start_mock_fleet(tmp_path, ONE, own_options=wrong, beside=beside) as one, load(one, streams=2) as ended:
        child = one.fleet.keepers["engine"].child
        wait_for(lambda: ended["ok"] > 5)
        with pytest.raises(StackproofError, match="the new engine did not come up, and the old one goes on: "):
            one.fleet.restart_in_turn(one.admin, longest_s=20, say=lambda _: None)
        at_the_end = ended["ok"]
        wait_for(lambda: ended["ok"] > at_the_end + 5)
        assert one.fleet.keepers["engine"].child is child
        assert list(one.admin.upstreams()) == [one.fleet.addresses["engine"]]
    assert set(ended) == {"ok"}


def test_an_engine_that_is_killed_is_left_out_and_started_again_while_the_other_answers(two: MockFleet) -> None:
    keeper = two.fleet.keepers["engine-1"]
    restarts = keeper.restarts
    assert keeper.child is not None
    os.kill(keeper.child.pids()[-1], signal.SIGKILL)
    wait_for(lambda: keeper.state is State.WAITING)
    with two.client() as client:
        assert [client.post(CHAT, json=body()).status_code for _ in range(8)] == [200] * 8
    wait_for(lambda: keeper.state is State.READY and keeper.restarts == restarts + 1)
    assert keeper.last_error is not None
    wait_for(lambda: two.admin.upstreams()[two.fleet.addresses["engine-1"]].healthy)


def test_a_stream_whose_engine_dies_ends_with_an_error_and_stands_in_the_logs(two: MockFleet) -> None:
    wait_for(lambda: all(keeper.state is State.READY for keeper in two.fleet.keepers.values()))
    with OpenAI(base_url=f"{two.url}/v1", api_key=two.key, timeout=30, max_retries=0) as client:
        answer = client.chat.completions.with_raw_response.create(**body(stream=True, max_tokens=2000))
        request_id = answer.headers["x-request-id"]
        pieces = iter(answer.parse())
        next(pieces)
        busy = next(address for address, upstream in two.admin.upstreams().items() if upstream.active)
        keeper = next(two.fleet.keepers[name] for name, address in two.fleet.addresses.items() if address == busy)
        assert keeper.child is not None
        os.kill(keeper.child.pids()[-1], signal.SIGKILL)
        # The answer has no end, so nobody takes what came for the whole.
        with pytest.raises(APIConnectionError):
            list(pieces)
    audited = [json.loads(line) for line in (two.folder / "audit.jsonl").read_text().splitlines()]
    assert [entry["decision"] for entry in audited if entry["request_id"] == request_id] == ["let through"]
    access = two.folder / "access.log"
    wait_for(lambda: request_id in access.read_text())
    (logged,) = [line for line in map(json.loads, access.read_text().splitlines()) if line["request_id"] == request_id]
    assert logged["tenant"] == "clinic"
    assert "upstream" in logged["why"]
    wait_for(lambda: keeper.state is State.READY)


def test_conversations_stay_with_the_engine_that_knows_their_beginning(tmp_path: Path) -> None:
    policy = load_policy().model_copy(update={"routing": Routing(by="prefix", prefix_load_percent=1000)})
    with start_mock_fleet(tmp_path, TWO, policy=policy) as fleet, fleet.client() as client:
        for subject in range(12):
            before = {name: fleet.served(name) for name in fleet.fleet.keepers}
            turns = [{"role": "user", "content": f"Tell me of subject {subject}"}]
            for _ in range(3):
                assert client.post(CHAT, json={**body(), "messages": turns, "stream": True}).status_code == 200
                turns += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "More."}]
            wait_for(lambda before=before: sum(fleet.served(name) - before[name] for name in before) == 3)  # type: ignore[misc]
            assert sorted(fleet.served(name) - before[name] for name in before) == [0, 3]
        assert all(fleet.served(name) for name in fleet.fleet.keepers)


def test_a_canary_gets_its_share_and_whoever_asks_for_it(tmp_path: Path) -> None:
    deployment = Deployment(models=(DeployedModel(model=CI_MODEL, name="text", canary=Canary(model=CI_MODEL, percent=25)),))
    with start_mock_fleet(tmp_path, deployment, "--ttft-ms", "1", "--token-interval-ms", "1") as fleet, fleet.client() as client:
        stable, tried = fleet.fleet.keepers

        def asked(count: int, headers: dict[str, str]) -> tuple[int, int]:
            before = fleet.served(stable), fleet.served(tried)
            for _ in range(count):
                assert client.post(CHAT, json=body(model="text", stream=True), headers=headers).status_code == 200
            wait_for(lambda: fleet.served(stable) + fleet.served(tried) == sum(before) + count)
            return fleet.served(stable) - before[0], fleet.served(tried) - before[1]

        assert asked(5, {"x-canary": "always"}) == (0, 5)
        assert asked(5, {"x-canary": "never"}) == (5, 0)
        by_weight = asked(200, {})
        assert 20 < by_weight[1] < 85  # 50 expected; outside by chance in less than one of a million runs


def test_each_model_answers_by_its_own_name_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    deployment = Deployment(models=(DeployedModel(model=CI_MODEL, name="first"), DeployedModel(model=CI_MODEL, name="second")))
    with start_mock_fleet(tmp_path, deployment) as fleet, fleet.client() as client:
        first, second = fleet.fleet.keepers
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["first", "second"]
        for _ in range(3):
            assert client.post(CHAT, json=body(model="second", stream=True)).status_code == 200
        wait_for(lambda: fleet.served(second) == 3)
        assert fleet.served(first) == 0
        refused = client.post(CHAT, json=body(model="third"))
        assert (refused.status_code, refused.json()["error"]["message"]) == (404, "field `model`: not served here; GET /v1/models lists what is")
        assert httpx.get(f"{fleet.url}/healthz", timeout=5, verify=False).status_code == 200
        # Nobody answers for a model whose engines are gone, and the gateway as a whole is not healthy.
        fleet.fleet.keepers[second].stop()
        wait_for(lambda: client.post(CHAT, json=body(model="second")).status_code == 503)
        assert client.post(CHAT, json=body(model="first")).status_code == 200
        wait_for(lambda: httpx.get(f"{fleet.url}/healthz", timeout=5, verify=False).status_code == 503)
