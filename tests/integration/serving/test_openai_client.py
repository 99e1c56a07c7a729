"""OpenAI's own Python client, unchanged, through the real gateway: to real engines, and for errors to a server that stands in for one."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from gateway_kit import EchoGateway, start_echo_gateway
from openai import OpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.shared_params import FunctionDefinition
from pydantic import BaseModel

from stack.serving.chat import read_key
from stack.serving.deployment import DeployedModel, Deployment
from stack.serving.fleet import layout
from stack.serving.models import CI_MODEL, CatalogModel, find_model
from stack.serving.policy import load_policy
from stack.serving.session import Session, serve_deployment
from stack.serving.tenants import RateClass

pytestmark = pytest.mark.slow
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the capital of Kenya?"}]
PARAMETERS: dict[str, Any] = {"type": "object", "properties": {"city": {"enum": ["Nairobi", "Cairo"]}}, "required": ["city"], "additionalProperties": False}
# Without `strict` vLLM forces the call alone, and this small model ends in no JSON.
FUNCTION: FunctionDefinition = {"name": "get_weather", "description": "Weather now", "parameters": PARAMETERS, "strict": True}
WEATHER: ChatCompletionToolParam = {"type": "function", "function": FUNCTION}
GENERATOR, EMBEDDER = "with-tools", "vectors"


class City(BaseModel):
    name: Literal["Nairobi", "Cairo"]
    is_capital: bool


def client_of(url: str, key: str, **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, timeout=60, **{"max_retries": 0, **options})


def _client(session: Session) -> OpenAI:
    return client_of(session.gateway_url, read_key(session.api_key_file) or "")


@pytest.fixture(scope="module")
def client(served: Session) -> Iterator[OpenAI]:
    with _client(served) as own:
        yield own


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """An engine that embeds and one that calls tools: the CI model's catalog entry names no parser, so it is given one that reads JSON."""

    def with_parser(name: str) -> CatalogModel:
        found = find_model(name)
        assert found.chat is not None
        return found.model_copy(update={"chat": found.chat.model_copy(update={"tool_parser": "hermes"})})

    models = (
        DeployedModel(model=CI_MODEL, name=GENERATOR, max_model_len=2048, enforce_eager=True),
        DeployedModel(model=CI_MODEL, name=EMBEDDER, task="embed", max_model_len=2048, enforce_eager=True),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "find_model", with_parser)
        folder = tmp_path_factory.mktemp("several")
        with serve_deployment(Deployment(models=models), run_dir=folder) as session, _client(session) as own:
            yield own


def test_a_chat_is_answered_and_its_answer_can_be_sent_back(served: Session, client: OpenAI) -> None:
    first = client.chat.completions.create(model=served.model, messages=QUESTION, max_tokens=8, temperature=0, logit_bias={"0": -100}, user="u")
    assert first.usage is not None
    assert first.usage.completion_tokens == 8
    messages: list[Any] = [*QUESTION, first.choices[0].message, {"role": "user", "content": "And of Egypt?"}]
    assert client.chat.completions.create(model=served.model, messages=messages, max_tokens=2).choices[0].message.content


def test_a_stream_arrives_in_pieces_with_its_usage(served: Session, client: OpenAI) -> None:
    options: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model=served.model, messages=QUESTION, max_tokens=8, **options))
    assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) > 3
    assert chunks[-1].usage.completion_tokens == 8
    with client.chat.completions.stream(model=served.model, messages=QUESTION, response_format=City, max_tokens=48) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, City)


def test_an_answer_is_held_to_a_model_of_pydantics_and_parsed_into_it(served: Session, client: OpenAI) -> None:
    answer = client.chat.completions.parse(model=served.model, messages=QUESTION, response_format=City, max_tokens=48)
    assert isinstance(answer.choices[0].message.parsed, City)
    messages: list[Any] = [*QUESTION, answer.choices[0].message, *QUESTION]
    assert client.chat.completions.create(model=served.model, messages=messages, max_tokens=1).choices


def test_an_answer_is_held_to_a_json_schema(served: Session, client: OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": PARAMETERS, "strict": True}}
    answer = client.chat.completions.create(model=served.model, messages=QUESTION, response_format=form, max_tokens=32)
    assert json.loads(answer.choices[0].message.content or "")["city"] in {"Nairobi", "Cairo"}


def test_completions_and_the_list_of_models_work(served: Session, client: OpenAI) -> None:
    assert client.completions.create(model=served.model, prompt=["One, two,", "A, b,"], max_tokens=2).choices[1].text
    assert [model.id for model in client.models.list()] == [served.model]


def test_what_a_model_cannot_do_is_an_error_that_says_so(served: Session, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="makes text"):
        client.embeddings.create(model=served.model, input="Hello")
    with pytest.raises(openai.BadRequestError, match="tool"):  # the engine's own: the catalog names no parser for this model
        client.chat.completions.create(model=served.model, messages=QUESTION, tools=[WEATHER], tool_choice="required", max_tokens=8)
    with pytest.raises(openai.NotFoundError, match="not served here"):
        client.chat.completions.create(model="gpt-4o", messages=QUESTION)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_call_has_arguments_by_the_tools_schema_and_takes_its_result(several: OpenAI, choice: Any) -> None:
    asked = several.chat.completions.create(model=GENERATOR, messages=QUESTION, tools=[WEATHER], tool_choice=choice, max_tokens=64, temperature=0)
    (call,) = asked.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] in {"Nairobi", "Cairo"}
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages: list[Any] = [*QUESTION, asked.choices[0].message, result]
    assert several.chat.completions.create(model=GENERATOR, messages=messages, tools=[WEATHER], max_tokens=4).choices[0].finish_reason


def test_a_forced_call_streams_and_is_parsed_and_sent_back(several: OpenAI) -> None:
    tool, options = pydantic_function_tool(City, name="look_up"), {"tool_choice": "required", "temperature": 0, "max_tokens": 96}
    with several.chat.completions.stream(model=GENERATOR, messages=QUESTION, tools=[tool], **options) as stream:  # type: ignore[arg-type]
        pieces = sum(event.type == "tool_calls.function.arguments.delta" for event in stream)
        message = stream.get_final_completion().choices[0].message
    (call,) = message.tool_calls or ()
    assert pieces > 1
    assert isinstance(call.function.parsed_arguments, City)
    messages: list[Any] = [*QUESTION, message, {"role": "tool", "tool_call_id": call.id, "content": "yes"}]
    assert several.chat.completions.create(model=GENERATOR, messages=messages, tools=[tool], max_tokens=1).choices


def test_texts_become_vectors_in_either_encoding(several: OpenAI) -> None:
    texts = ["Nairobi is the capital of Kenya.", "Rain fell all day."]
    packed = several.embeddings.create(model=EMBEDDER, input=texts)  # the client asks for base64 unless told otherwise
    plain = several.embeddings.create(model=EMBEDDER, input=texts[0], encoding_format="float")
    assert [len(each.embedding) for each in packed.data] == [find_model(CI_MODEL).architecture.hidden_size] * 2
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-2)
    assert packed.data[0].embedding != pytest.approx(packed.data[1].embedding, abs=1e-2)
    assert packed.usage.prompt_tokens > plain.usage.prompt_tokens > 0


def test_the_usage_of_vectors_stands_where_the_gateway_counts_tokens(several: OpenAI) -> None:
    for form in ("float", "base64"):
        raw = several.embeddings.with_raw_response.create(model=EMBEDDER, input="Hello", encoding_format=form).text  # type: ignore[arg-type]
        usage = json.loads(raw)["usage"]
        assert raw.rindex('"usage"') > len(raw) - 2048
        assert (usage["prompt_tokens"] > 0, usage["completion_tokens"]) == (True, 0)


def test_vectors_the_model_cannot_make_are_an_error_that_says_so(several: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        several.embeddings.create(model=EMBEDDER, input="Hello", dimensions=64)
    with pytest.raises(openai.BadRequestError, match=r"field `input"):
        several.embeddings.create(model=EMBEDDER, input=[1, 2, 3])
    with pytest.raises(openai.BadRequestError, match="makes embeddings"):
        several.chat.completions.create(model=EMBEDDER, messages=QUESTION)


def ask(client: OpenAI, content: str = "Hello", **fields: Any) -> None:
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": content}], **fields)


def test_each_refusal_raises_the_clients_own_error_with_a_message(echo_gateway: EchoGateway) -> None:
    own, other = client_of(echo_gateway.url, echo_gateway.key), client_of(echo_gateway.url, "sp-wrong")
    with pytest.raises(openai.AuthenticationError, match="missing or wrong API key"):
        ask(other)
    with pytest.raises(openai.BadRequestError, match="field `chat_template`: not accepted"):
        ask(own, extra_body={"chat_template": "x"})
    with pytest.raises(openai.NotFoundError, match="no such route"):
        own.responses.create(model="m", input="Hello")
    with pytest.raises(openai.APIStatusError, match="Payload Too Large") as large:
        ask(own, "x" * load_policy().limits.body_bytes)
    assert large.value.status_code == 413
    assert large.value.body["type"] == "gateway_error"  # type: ignore[index]
    assert not echo_gateway.reached


def test_a_model_that_is_not_open_to_the_key_is_permission_denied(tmp_path: Path) -> None:
    policy = load_policy().model_copy(update={"classes": {"default": RateClass(models=("other",))}})
    with start_echo_gateway(tmp_path, policy=policy) as gateway, pytest.raises(openai.PermissionDeniedError, match="not open to this key"):
        ask(client_of(gateway.url, gateway.key))


def test_over_a_limit_the_client_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    policy = load_policy().model_copy(update={"classes": {"default": RateClass(concurrent_requests=1)}})
    with start_echo_gateway(tmp_path, policy=policy) as gateway:
        gateway.go.clear()
        holding = threading.Thread(target=ask, args=(client_of(gateway.url, gateway.key),))
        holding.start()
        while not gateway.reached:
            time.sleep(0.01)
        with pytest.raises(openai.RateLimitError, match="limit") as refused:
            ask(client_of(gateway.url, gateway.key))
        told_s = int(refused.value.response.headers["retry-after"])
        threading.Timer(0.5, gateway.go.set).start()
        started = time.monotonic()
        ask(client_of(gateway.url, gateway.key, max_retries=1))
        assert time.monotonic() - started >= told_s
        holding.join()


def test_without_a_decision_the_client_is_told_to_come_later(tmp_path: Path) -> None:
    with start_echo_gateway(tmp_path) as gateway:
        gateway.policy_service.stop()
        with pytest.raises(openai.InternalServerError, match="try again later") as refused:
            ask(client_of(gateway.url, gateway.key))
        assert refused.value.status_code == 503
