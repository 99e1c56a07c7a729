"""What the policy service answers to what Envoy asks, reports and gets listed (logic; `policy_server` is its HTTP)."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable

from msgspec import Struct

from stack.serving.decisions import Decider
from stack.serving.errors import ServingError
from stack.serving.gateway import CLAIMS_HEADER, KEY_SETS_PATH, LIST_PATH, REPORT_PATH
from stack.serving.judge import Call
from stack.serving.listed import openai_list
from stack.serving.requests import RefusedError
from stack.serving.traces import trace_id_of
from stack.serving.watched import Watched

AUTHORIZATION, REQUEST_ID, TRACEPARENT = b"authorization", b"x-request-id", b"traceparent"
CLAIMS = CLAIMS_HEADER.encode()
TEXT, JSON = ("content-type", "text/plain; charset=utf-8"), ("content-type", "application/json")


class Asked(Struct, frozen=True):
    """One request to the policy service. Names of headers are in lower case."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""
HasLeft = Callable[[], bool]
"""Whether whoever asked has closed the connection."""
Answerer = Callable[[Asked, HasLeft], Awaitable[Answer]]


def build_answerer(decider: Decider, key_sets: tuple[Watched[bytes], ...] = ()) -> Answerer:
    """Decisions, reports, the list of models, and the key sets of the policy's issuers."""
    key_set_at = {f"{KEY_SETS_PATH}{index}": key_set for index, key_set in enumerate(key_sets)}

    async def answer(asked: Asked, has_left: HasLeft) -> Answer:
        if asked.method == "POST" and asked.path == REPORT_PATH:
            return _reported(decider, asked.body)
        if asked.method == "GET" and not asked.query:
            if (key_set := key_set_at.get(asked.path)) is not None:
                return _key_set(key_set)
            if asked.path == LIST_PATH:
                return 200, [JSON], json.dumps(openai_list(decider.models), separators=(",", ":")).encode()
            if asked.path == decider.policy.health_path:
                return 200, [], b""
        return await _decision(decider, asked, has_left)

    return answer


def _reported(decider: Decider, message: bytes) -> Answer:
    try:
        decider.ended(message)
    except ValueError:
        return 400, [TEXT], b"no report"
    return 200, [], b""


def _key_set(key_set: Watched[bytes]) -> Answer:
    try:
        return 200, [JSON], key_set.current()
    except ServingError:
        return 503, [], b""


async def _decision(decider: Decider, asked: Asked, has_left: HasLeft) -> Answer:
    authorization, told = [], dict[bytes, str]()
    for name, value in asked.headers:
        if name == AUTHORIZATION:
            authorization.append(value.decode("latin-1"))
        elif name in (REQUEST_ID, TRACEPARENT, CLAIMS):
            told[name] = value.decode("latin-1")

    async def is_gone() -> bool:
        await asyncio.sleep(0)  # lets the loop read that the connection was closed
        return has_left()

    call = Call(asked.method, asked.path, asked.query, tuple(authorization), asked.body, told.get(CLAIMS))
    try:
        grants = await decider.decide(call, told.get(REQUEST_ID, ""), is_gone, trace_id_of(told.get(TRACEPARENT)))
    except ServingError:  # the keys are not to be had: Envoy makes 503 of it
        return 503, [], b""
    except RefusedError as refused:
        return refused.status, [TEXT, *_refusal_headers(refused)], str(refused).encode()
    return 200, list(grants.items()), b""


def _refusal_headers(refused: RefusedError) -> list[tuple[str, str]]:
    headers = [("www-authenticate", "Bearer")] if refused.status == 401 else []
    if refused.retry_after_s is not None:
        headers.append(("retry-after", str(max(1, math.ceil(refused.retry_after_s)))))
    return headers
