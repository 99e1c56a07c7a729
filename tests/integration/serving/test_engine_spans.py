"""The engine's own span in the trace of the request: a session as `stackproof serve` starts it, with a collector."""

import platform
from collections.abc import Sequence

import httpx
import pytest
from otlp_receiver import Collector, Span

from stack.serving.chat import read_key
from stack.serving.session import Session

pytestmark = pytest.mark.slow


def of_request(spans: Sequence[Span], request_id: str) -> list[Span]:
    """The spans of one request's trace."""
    traces = {span.trace for span in spans if span.attributes.get("guid:x-request-id") == request_id}
    return [span for span in spans if span.trace in traces]


def test_the_engines_span_hangs_in_the_requests_trace_and_names_queue_first_token_and_engine(served: Session, engine_spans: Collector) -> None:
    body = {"model": served.model, "messages": [{"role": "user", "content": "Say hello to Amina"}], "max_tokens": 3}
    headers = {"authorization": f"Bearer {read_key(served.api_key_file)}"}
    answer = httpx.post(f"{served.gateway_url}/v1/chat/completions", json=body, headers=headers, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    asked = answer.headers["x-request-id"]
    # The engine was asked before it counted as ready: spans of other requests are there already.
    spans = engine_spans.wait(lambda found: {"llm_request", "gateway", "engine"} <= {span.name for span in of_request(found, asked)}, timeout_s=60)
    whole = next(span for span in spans if span.attributes.get("guid:x-request-id") == asked)
    to_engine = next(span for span in spans if span.name == "engine" and span.trace == whole.trace)
    inside = next(span for span in spans if span.name == "llm_request" and span.trace == whole.trace)
    assert (to_engine.parent, inside.parent) == (whole.id, to_engine.id)
    assert inside.attributes["gen_ai.request.id"] == f"chatcmpl-{answer.headers['x-request-id']}", "the engine's log is found by the gateway's id too"
    usage = answer.json()["usage"]
    assert inside.attributes["gen_ai.usage.prompt_tokens"] == usage["prompt_tokens"]
    assert inside.attributes["gen_ai.usage.completion_tokens"] == usage["completion_tokens"]
    assert 0 <= inside.attributes["gen_ai.latency.time_in_queue"] < inside.attributes["gen_ai.latency.e2e"]
    assert 0 < inside.attributes["gen_ai.latency.time_to_first_token"] <= inside.attributes["gen_ai.latency.e2e"] < whole.duration_ms / 1000
    told = {name: inside.resource.get(name) for name in ("service.name", "service.instance.id", "host.name")}
    assert told == {"service.name": "stackproof-engine", "service.instance.id": "engine", "host.name": platform.node()}
    assert "Amina" not in repr(spans)
