"""The policy service over HTTP: what Envoy asks, reports and lists, as a bare ASGI application (edge).

A framework's routing and request objects took as long as the decision itself, and every request of every client waits for this.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from stack.serving.decisions import Decider
from stack.serving.errors import ServingError
from stack.serving.gateway import CLAIMS_HEADER, KEY_SETS_PATH, LIST_PATH, REPORT_PATH
from stack.serving.judge import Call
from stack.serving.listed import openai_list
from stack.serving.requests import RefusedError
from stack.serving.traces import trace_id_of
from stack.serving.watched import Watched

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers and body."""

AUTHORIZATION, REQUEST_ID, TRACEPARENT = b"authorization", b"x-request-id", b"traceparent"
CLAIMS = CLAIMS_HEADER.encode()
TEXT, JSON = (b"content-type", b"text/plain; charset=utf-8"), (b"content-type", b"application/json")


def build_app(decider: Decider, key_sets: tuple[Watched[bytes], ...] = ()) -> Application:
    """The ASGI application that Envoy asks and reports to, and gets the key sets of the policy's issuers from."""
    key_set_at = {f"{KEY_SETS_PATH}{index}": key_set for index, key_set in enumerate(key_sets)}

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if scope["method"] == "GET" and (key_set := key_set_at.get(scope["path"])) is not None:
            status, headers, content = _key_set(key_set)
        else:
            status, headers, content = await _answer(decider, scope, body, receive)
        headers.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return app


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _answer(decider: Decider, scope: Message, body: bytes, receive: Receive) -> Answer:
    method, path, query = scope["method"], scope["raw_path"].decode("latin-1"), scope["query_string"]
    if (method, path) == ("POST", REPORT_PATH):
        try:
            decider.ended(body)
        except ValueError:
            return 400, [TEXT], b"no report"
        return 200, [], b""
    if (method, path) == ("GET", LIST_PATH):
        return 200, [JSON], json.dumps(openai_list(decider.models), separators=(",", ":")).encode()
    if (method, path) == ("GET", decider.policy.health_path) and not query:
        return 200, [], b""
    told = {name: value.decode("latin-1") for name, value in scope["headers"] if name in {REQUEST_ID, TRACEPARENT, CLAIMS}}
    authorization = tuple(value.decode("latin-1") for name, value in scope["headers"] if name == AUTHORIZATION)
    call = Call(method, path, query, authorization, body, told.get(CLAIMS))
    return await _decision(decider, call, told, receive)


def _key_set(key_set: Watched[bytes]) -> Answer:
    try:
        return 200, [JSON], key_set.current()
    except ServingError:
        return 503, [], b""


async def _decision(decider: Decider, call: Call, told: dict[bytes, str], receive: Receive) -> Answer:
    try:
        grants = await decider.decide(call, told.get(REQUEST_ID, ""), lambda: _is_gone(receive), trace_id_of(told.get(TRACEPARENT)))
    except ServingError:  # the keys are not to be had: Envoy makes 503 of it
        return 503, [], b""
    except RefusedError as refused:
        return refused.status, [TEXT, *_refusal_headers(refused)], str(refused).encode()
    return 200, [(name.encode(), value.encode()) for name, value in grants.items()], b""


async def _is_gone(receive: Receive) -> bool:
    """Whether the client has left: the next message is there already, and says so."""
    waiting = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    if waiting.done():
        return bool(waiting.result()["type"] == "http.disconnect")
    waiting.cancel()
    return False


def _refusal_headers(refused: RefusedError) -> list[tuple[bytes, bytes]]:
    headers = [(b"www-authenticate", b"Bearer")] if refused.status == 401 else []
    if refused.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(refused.retry_after_s))).encode()))
    return headers
