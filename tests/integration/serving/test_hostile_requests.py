"""Hostile requests at the real gateway: what is refused reaches no engine, what passes is what was good, and nothing falls over."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import engine_surface
import httpx
import psutil
import pytest
from gateway_kit import ENGINE_KEY, EchoGateway, start_echo_gateway
from hostile_bodies import METADATA, SECRET_FILE, bodies, repeated
from hostile_requests import BAD, BODY, CHAT, CLOSE, GOOD_BODY, UNAUTHORISED, Hostile, claims, credentials, framing, get, head, heads, methods, paths, post
from test_gateway_tokens import AUDIENCE, FORGED, GOOD, ISSUER, SIGNER, STRANGER, b64

from stack.serving.bodies import BODIES
from stack.serving.keys import ApiKey, hash_key, new_key
from stack.serving.policy import BodyKind, load_policy
from stack.serving.requests import check_body
from stack.serving.tenants import Issuer

pytestmark = pytest.mark.slow
POLICY = load_policy()
ROUTES = {(route.method, route.path): route.body for route in POLICY.routes}
AT_ONCE = 16
SILENCE_S, SHORT_SILENCE_S = 1.6, 0.5
"""Longer than the test's gateway waits for the rest of a request, and longer than it takes to answer what is complete."""
KEY, KEY_OF_SCHOOL, EXPIRED = new_key(), new_key(), new_key()
GROUPS: dict[str, Callable[[], Iterator[Hostile]]] = {
    "paths": lambda: paths(KEY),
    "methods": lambda: methods(KEY),
    "framing": lambda: framing(KEY),
    "heads": lambda: heads(KEY),
    "bodies": lambda: bodies(KEY),
    "repeated": lambda: repeated(KEY),
    "credentials": lambda: credentials(KEY, EXPIRED, ENGINE_KEY),
    "claims": lambda: claims(KEY),
}
OTHER_TOKENS: dict[str, str] = {
    "for another audience": SIGNER.token({**GOOD, "aud": "other"}),
    "for no audience": SIGNER.token({name: value for name, value in GOOD.items() if name != "aud"}),
    "that ends as a text": SIGNER.token({**GOOD, "exp": "9999999999"}),
    "that ended in 1970": SIGNER.token({**GOOD, "exp": 0}),
    "that ends before time": SIGNER.token({**GOOD, "exp": -1}),
    "that begins in a century": SIGNER.token({**GOOD, "nbf": GOOD["exp"] + 10**9}),
    "of a tenant that is a path": SIGNER.token({**GOOD, "tenant": "../school"}),
    "of a tenant that is a list": SIGNER.token({**GOOD, "tenant": ["school"]}),
    "of a tenant with a line feed": SIGNER.token({**GOOD, "tenant": "a\nx-stackproof-tenant: school"}),
    "of no tenant": SIGNER.token({name: value for name, value in GOOD.items() if name != "tenant"}),
    "whose key is a file": STRANGER.token(GOOD, kid="../../../../dev/null"),
    "whose key is a query": STRANGER.token(GOOD, kid="' UNION SELECT 'a"),
    "whose key is fetched": STRANGER.token(GOOD, kid=None, jku=f"{METADATA}/keys", x5u=f"{METADATA}/cert"),
    "encrypted with nothing": ".".join((b64(b'{"alg":"dir","enc":"A128GCM"}'), "", "", "", "")),
    "with a signature of zeros": SIGNER.token(GOOD).rpartition(".")[0] + "." + b64(bytes(256)),
    "twice": f"{SIGNER.token(GOOD)},{SIGNER.token(GOOD)}",
    "of 12,000 bytes": SIGNER.token({**GOOD, "pad": "a" * 9000}, kid="x"),
}


def tokens() -> Iterator[Hostile]:
    for name, token in {**FORGED, **OTHER_TOKENS}.items():
        yield Hostile(f"a token {name}", post(token, GOOD_BODY), UNAUTHORISED | BAD | {403})


GROUPS["tokens"] = tokens


@dataclass(frozen=True)
class Target:
    gateway: EchoGateway
    client: httpx.Client
    processes: frozenset[tuple[int, float]]

    def send(self, sent: bytes, *, silence_s: float = SILENCE_S) -> list[int]:
        """Statuses of the answers, in order, until the connection is closed or silent."""
        return statuses(converse(self.gateway.url, sent, silence_s))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Keys and tokens side by side, two tenants, and a key that has expired."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "keys.jwks").write_text(json.dumps(SIGNER.key_set()))
    issuer = Issuer(issuer=ISSUER, audiences=(AUDIENCE,), key_set=str(folder / "keys.jwks"))
    keys = (
        ApiKey(tenant="clinic", sha256=hash_key(KEY)),
        ApiKey(tenant="school", sha256=hash_key(KEY_OF_SCHOOL)),
        ApiKey(tenant="clinic", sha256=hash_key(EXPIRED), expires_at=datetime.now(UTC) - timedelta(days=1)),
    )
    policy = POLICY.model_copy(update={"issuers": (issuer,)})
    with start_echo_gateway(folder, policy=policy, keys=keys) as gateway, httpx.Client(base_url=gateway.url, timeout=10) as client:
        yield Target(gateway, client, running())


@pytest.fixture
def target(started: Target) -> Iterator[Target]:
    """Nothing on record before; afterwards the same processes still do their work."""
    started.gateway.reached.clear()
    started.gateway.bodies.clear()
    yield started
    assert running() == started.processes
    assert started.client.get(POLICY.health_path).status_code == 200
    for key, tenant in ((KEY, "clinic"), (KEY_OF_SCHOOL, "school")):
        answer = started.client.post(CHAT, content=GOOD_BODY, headers={"authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["x-stackproof-tenant"]) == (200, tenant)
    assert started.client.post(CHAT, content=GOOD_BODY).status_code == 401


def running() -> frozenset[tuple[int, float]]:
    """Gateway, policy service and their guardians: the children of this process, each by number and time of its start."""
    return frozenset((child.pid, child.create_time()) for child in psutil.Process().children(recursive=True))


def converse(url: str, sent: bytes, silence_s: float) -> bytes:
    place, answer = urlsplit(url), b""
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.settimeout(silence_s)
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent: the answer may still be there
            connection.sendall(sent)
        with suppress(TimeoutError, ConnectionResetError):
            while not is_last(answer) and (chunk := connection.recv(65536)):
                answer += chunk
    return answer


def is_last(answer: bytes) -> bool:
    """Whether the answer is complete and says that nothing more is read from this connection: Envoy closes it a second later."""
    lines, found, body = answer[answer.rfind(b"HTTP/1.1 ") :].partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", lines)
    return bool(found and length and b"connection: close" in lines) and len(body) >= int(length[1] if length else 0)


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3})", answer, re.MULTILINE)]


def is_clean(case: Hostile, answers: Sequence[int]) -> bool:
    return set(answers or [0]) <= case.answers


def refuse(target: Target, cases: Sequence[Hostile]) -> None:
    """Some at a time, since a gateway that waits for the rest of a request takes its time to give up."""
    for start in range(0, len(cases), AT_ONCE):
        some = cases[start : start + AT_ONCE]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda case: target.send(case.sent), some))
        assert not [(case.name, got) for case, got in zip(some, answers, strict=True) if not is_clean(case, got)]
        assert not target.gateway.reached, f"one of these reached the engine: {[case.name for case in some]}"


def let_pass(target: Target, case: Hostile) -> None:
    """What reaches the engine is as many requests as were good, each on an open route, with the engine's key, and of the tenant whose key was shown."""
    target.gateway.reached.clear()
    target.gateway.bodies.clear()
    answers = target.send(case.sent, silence_s=SHORT_SILENCE_S)
    assert is_clean(case, answers), (case.name, answers)
    assert len(target.gateway.reached) == case.reaches, case.name
    for seen, body in zip(target.gateway.reached, target.gateway.bodies, strict=True):
        kind = ROUTES[seen[":method"], seen[":path"]]
        assert (seen["authorization"], seen["x-stackproof-tenant"]) == (f"Bearer {ENGINE_KEY}", "clinic"), case.name
        assert not any("school" in value for name, value in seen.items() if name != "a"), case.name
        assert not {"upgrade", "http2-settings", "cookie", "x-original-url", "x-rewrite-url", "forwarded", "proxy-authorization"} & set(seen), case.name
        assert "of-another" not in str(seen), case.name
        assert {name for name in seen if name.startswith("x-envoy-")} <= {"x-envoy-external-address"}, case.name
        if kind is not None:
            read = json.loads(body)
            assert read.pop("cache_salt"), case.name
            check_body(kind, json.dumps(read).encode(), POLICY.requests)  # as another parser reads it, it is still one that may pass


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_hostile_is_refused_and_what_passes_is_what_was_good(target: Target, group: str) -> None:
    cases = list(GROUPS[group]())
    refuse(target, [case for case in cases if not case.reaches])
    for case in cases:
        if case.reaches:
            let_pass(target, case)


def test_there_are_more_than_400_cases_each_with_a_name_of_its_own() -> None:
    names = [case.name for group in GROUPS.values() for case in group()]
    assert len(names) == len(set(names))
    assert len(names) >= 400


@pytest.mark.skipif(not engine_surface.is_installed(), reason="the engine is not installed")
def test_no_route_of_the_engine_is_open_but_those_of_the_policy(target: Target) -> None:
    known = engine_surface.routes()
    assert {"/invocations", "/update_weights", "/v1/chat/completions/render"} <= known
    cases = [
        Hostile(f"{method} {path}", post(KEY, GOOD_BODY, path=path) if method == "POST" else get(KEY, path, CLOSE), frozenset({404}))
        for path in sorted(known)
        for method in ("GET", "POST")
        if (method, path) not in ROUTES
    ]
    assert len(cases) > 100
    refuse(target, cases)


SMALLEST: dict[BodyKind, dict[str, Any]] = {"chat": BODY, "completions": {"model": "m", "prompt": "a"}, "embeddings": {"model": "m", "input": "a"}}
CONTAINERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "stream_options": lambda field: field,
    "structured_outputs": lambda field: {"choice": ["a"], **field},
    "response_format": lambda field: {"type": "text", **field},
    "tools": lambda field: [{"type": "function", "function": {"name": "f"}, **field}],
    "tool_choice": lambda field: {"type": "function", "function": {"name": "f"}, **field},
    "messages": lambda field: [{"role": "user", "content": "a", **field}],
}
"""A field of that name whose value is good, but for one field in it."""


def unknown_fields(kind: BodyKind) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field, here or one level deeper, that the engine knows and the gateway does not: its name, and a body with it."""
    theirs, ours = engine_surface.fields(kind), engine_surface.inner_fields(BODIES[kind])
    for name in sorted(set(theirs) - set(ours)):
        yield name, {**SMALLEST[kind], name: SECRET_FILE}
    for name in sorted(set(theirs) & set(ours) & set(CONTAINERS)):
        for inner in sorted(set(engine_surface.inner_fields(theirs[name])) - set(engine_surface.inner_fields(ours[name])) - {"schema_"}):
            yield inner, {**SMALLEST[kind], name: CONTAINERS[name]({inner: SECRET_FILE})}


@pytest.mark.skipif(not engine_surface.is_installed(), reason="the engine is not installed")
def test_every_field_that_the_engine_knows_and_the_gateway_does_not_is_refused_by_name(target: Target) -> None:
    tried: set[str] = set()
    for (method, path), kind in ROUTES.items():
        for name, body in unknown_fields(kind) if kind else ():
            tried.add(name)
            answer = target.client.request(method, path, json=body, headers={"authorization": f"Bearer {KEY}"})
            assert (answer.status_code, f"{name}`: not accepted" in answer.text) == (400, True), (path, name, answer.text)
    assert {"chat_template", "mm_processor_kwargs", "prompt_embeds", "media_io_kwargs", "regex", "grammar", "structural_tag", "kv_transfer_params"} <= tried
    assert not target.gateway.reached


@pytest.mark.skipif(not engine_surface.is_installed(), reason="the engine is not installed")
def test_every_part_of_a_message_but_text_is_refused(target: Target) -> None:
    kinds, fields = engine_surface.content_parts()
    assert {"image_url", "audio_url", "video_url", "prompt_embeds"} <= kinds
    parts = [
        *({"type": kind, kind: {"url": url}} for kind in sorted(kinds - {"text"}) for url in (SECRET_FILE, METADATA, "data:,a")),
        *({"type": "text", "text": "a", field: SECRET_FILE} for field in sorted(fields - {"type", "text"})),
        *({field: METADATA} for field in sorted(fields)),
    ]
    refuse(target, [Hostile(str(part), post(KEY, json.dumps({**BODY, "messages": [{"role": "user", "content": [part]}]}).encode()), BAD) for part in parts])


@pytest.mark.skipif(not engine_surface.is_installed(), reason="the engine is not installed")
def test_no_header_that_the_engine_obeys_comes_from_a_client(target: Target) -> None:
    known = sorted(engine_surface.headers() - {"authorization", "content-type", "x-request-id"})
    assert target.send(post(KEY, GOOD_BODY, *(f"{name}: 1" for name in known), CLOSE)) == [200]
    assert not set(known) & set(target.gateway.reached[0])


def test_the_health_path_takes_no_query(target: Target) -> None:
    assert target.send(head("GET", f"{POLICY.health_path}?a=b", CLOSE)) in ([400], [404])


def test_slow_clients_are_cut_off_while_others_are_served(target: Target) -> None:
    """A byte each 0.2 s, of headers, of a body and of chunks: none is waited for longer than the policy says, whatever trickles in."""
    trickles = {
        "headers": (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n", b"a"),
        "a body": (head("POST", CHAT, f"Authorization: Bearer {KEY}", "Content-Length: 100000"), b" "),
        "chunks": (head("POST", CHAT, f"Authorization: Bearer {KEY}", "Transfer-Encoding: chunked"), b"1\r\n \r\n"),
        "a first line": (b"", b"G"),
    }
    with ThreadPoolExecutor(len(trickles) * 2) as pool:
        waits = [pool.submit(trickle, target.gateway.url, start, more) for start, more in [*trickles.values()] * 2]
        assert target.send(post(KEY, GOOD_BODY)) == [200]
        for wait in waits:
            seconds, answer = wait.result()
            assert seconds < 4
            assert set(answer) <= {400, 408}
    assert len(target.gateway.reached) == 1


def trickle(url: str, start: bytes, more: bytes) -> tuple[float, list[int]]:
    """Seconds until the gateway closed the connection, and the statuses it gave."""
    place, began, answer = urlsplit(url), time.monotonic(), b""
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        connection.settimeout(0.2)
        try:
            connection.sendall(start)
            while time.monotonic() - began < 8:
                connection.sendall(more)
                try:
                    if not (chunk := connection.recv(4096)):
                        break
                    answer += chunk
                except TimeoutError:
                    continue
        except (BrokenPipeError, ConnectionResetError):
            pass
    return time.monotonic() - began, statuses(answer)
