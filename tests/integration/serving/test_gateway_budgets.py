"""Daily budgets by the real Envoy and the real policy service, over the death of the latter."""

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_kit import EchoGateway, start_echo_gateway

from stack.runtime.process import ChildError
from stack.serving.budgets import DAY_S
from stack.serving.keys import ApiKey, hash_key, new_key
from stack.serving.policy import load_policy
from stack.serving.tenants import RateClass

pytestmark = pytest.mark.slow
CLINIC, SCHOOL = new_key(), new_key()
KEYS = (ApiKey(tenant="clinic", sha256=hash_key(CLINIC)), ApiKey(tenant="school", sha256=hash_key(SCHOOL), rate_class="few"))
CLASSES = {"default": RateClass(tokens_per_day=100), "few": RateClass(requests_per_day=2)}
POLICY = load_policy().model_copy(update={"classes": CLASSES})
LONGEST_TEST_S = 60


@pytest.fixture(autouse=True)
def _within_a_day() -> None:
    """A day that ends in the middle of a test would give every budget anew."""
    left_s = DAY_S - time.time() % DAY_S
    if left_s < LONGEST_TEST_S:
        time.sleep(left_s)


def ask(gateway: EchoGateway, key: str = CLINIC, **fields: Any) -> httpx.Response:
    """Estimated at 2 tokens and `max_tokens`; the engine counts 12."""
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 40, **fields}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}, timeout=20, trust_env=False, verify=False)


def used(folder: Path) -> dict[str, int]:
    tenants = json.loads((folder / "budgets.json").read_text())["tenants"]
    return {name: day["tokens"] or day["requests"] for name, day in tenants.items()}


@pytest.mark.parametrize("stream", [False, True])
def test_a_day_is_charged_by_the_engines_count_and_the_answer_says_when_the_next_begins(tmp_path: Path, stream: bool) -> None:
    with start_echo_gateway(tmp_path, policy=POLICY, keys=KEYS) as gateway:
        for _ in range(4):
            assert ask(gateway, stream=stream).status_code == 200
            time.sleep(0.2)
        refused = ask(gateway, max_tokens=60)
        midnight_s = DAY_S - time.time() % DAY_S
        assert refused.status_code == 429
        assert abs(int(refused.headers["retry-after"]) - midnight_s) < 5
        assert refused.json()["error"]["message"] == "100 tokens a day are this key's budget: 52 are left until 00:00 UTC, this request may come to 62"
        assert ask(gateway, max_tokens=50).status_code == 200
        assert ask(gateway, max_tokens=99).status_code == 400
        assert [ask(gateway, SCHOOL).status_code for _ in range(3)] == [200, 200, 429]
        assert len(gateway.reached) == 7


def test_a_budget_is_kept_when_the_policy_service_is_killed_and_started_again(tmp_path: Path) -> None:
    with start_echo_gateway(tmp_path, policy=POLICY, keys=KEYS) as gateway:
        for _ in range(5):
            assert ask(gateway).status_code == 200
            time.sleep(0.2)
        assert [ask(gateway, SCHOOL).status_code for _ in range(2)] == [200, 200]
        time.sleep(1.5)
        os.kill(gateway.policy_service.pids()[-1], signal.SIGKILL)
        assert used(tmp_path) == {"clinic": 60, "school": 2}
        assert (tmp_path / "budgets.json").stat().st_mode & 0o777 == 0o600
    with start_echo_gateway(tmp_path, policy=POLICY, keys=KEYS) as gateway:
        assert ask(gateway, SCHOOL).status_code == 429
        assert ask(gateway).status_code == 429
        assert ask(gateway, max_tokens=38).status_code == 200
        time.sleep(0.3)  # its end is reported
    # Stopped, not killed: nothing is forgotten.
    assert used(tmp_path) == {"clinic": 72, "school": 2}


@pytest.mark.parametrize("content", ["", '{"keys": []}'], ids=["empty", "foreign"])
def test_a_file_that_is_none_of_ours_keeps_the_gateway_from_starting_and_says_so_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "budgets.json").write_text(content)
    with pytest.raises(ChildError) as caught, start_echo_gateway(tmp_path, policy=POLICY, keys=KEYS):
        pass
    assert re.search(rf"error: daily budgets {tmp_path}/budgets.json: .*: put it back, or remove it so that every tenant's day begins anew", str(caught.value))
    assert (tmp_path / "budgets.json").read_text() == content
