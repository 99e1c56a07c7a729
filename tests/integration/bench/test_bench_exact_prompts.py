"""The served model counts in our prompts the tokens we wrote into them."""

import json
from io import StringIO

import httpx
import pytest

from bench import Workload
from bench.load.endpoint import read_api_key
from bench.prompts.bodies import request_bodies
from bench.prompts.sessions import session_bodies
from bench.prompts.tokenizer import count_tokens, need_tokenizer
from stack.runtime.progress import Reporter
from stack.serving.models import CI_MODEL, find_model
from stack.serving.pull import pull_model
from stack.serving.session import Session

pytestmark = pytest.mark.slow


def load(**prompts: object) -> Workload:
    document = {"model": CI_MODEL, "arrivals": {"kind": "concurrency", "streams": 1}, "prompts": {"max_tokens": 1, **prompts}, "stop": {"requests": 1}}
    return Workload.model_validate(document)


def test_prompts_are_exact_with_the_tokenizer_of_the_real_model() -> None:
    pull_model(find_model(CI_MODEL), Reporter(StringIO()))
    counting = need_tokenizer(None, model=CI_MODEL)
    build = request_bodies(
        load(kind="synthetic", input_tokens={"kind": "uniform", "min": 1, "max": 2000}, prefix={"tokens": 100, "pool": 3, "hit_ratio": 0.5}), seed=5
    )
    alone = request_bodies(load(kind="synthetic", input_tokens={"kind": "uniform", "min": 1, "max": 2000}), seed=5)
    for index in range(200):
        own, whole = (json.loads(body(index))["messages"][0]["content"] for body in (alone, build))
        assert count_tokens(counting, whole) == count_tokens(counting, own) + 100 == len(own.split()) + 100


@pytest.mark.parametrize("tokens", [1, 7, 8, 9, 250])
def test_the_engine_counts_so_many_tokens_and_its_template(served: Session, tokens: int) -> None:
    """An empty message tells what the chat template takes."""
    template = prompt_tokens(served, b'{"model": "%b", "max_tokens": 1, "messages": [{"role": "user", "content": ""}]}' % CI_MODEL.encode())
    build = request_bodies(load(kind="synthetic", input_tokens=tokens), seed=5)
    assert [prompt_tokens(served, build(index)) - template for index in range(3)] == [tokens] * 3


def test_the_engine_counts_the_turns_of_a_session(served: Session) -> None:
    talk = session_bodies(load(kind="sessions", turns=3, first_tokens=40, turn_tokens=10, max_tokens=12), seed=5)
    counts = [prompt_tokens(served, talk.body(0, turn, [])) for turn in range(3)]
    added = counts[1] - counts[0]
    assert added > 22  # an answer of 12 tokens, a question of 10, and the template's marks around both
    assert counts[2] - counts[1] == added


def prompt_tokens(served: Session, body: bytes) -> int:
    """Asked through the gateway without streaming."""
    document = {**json.loads(body), "stream": False}
    document.pop("stream_options", None)
    key = {"Authorization": f"Bearer {read_api_key(served.api_key_file)}"}
    answer = httpx.post(f"{served.gateway_url}/v1/chat/completions", json=document, headers=key, timeout=60)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["usage"]["prompt_tokens"])
