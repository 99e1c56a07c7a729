"""Requests that no honest client sends, by name: what goes over the wire, and what may come of it.

A case is refused unless it says how many requests of it reach the engine: the ones that were good, and nothing hidden in them.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
GOOD_BODY = json.dumps(BODY).encode()
PASSED, BAD, UNAUTHORISED = frozenset({200}), frozenset({400}), frozenset({401})
CLOSE = "Connection: close"
ODD = frozenset({0, 400, 403, 404, 405, 408, 411, 413, 414, 417, 426, 431, 501, 505})
"""0 is a closed connection."""


@dataclass(frozen=True)
class Hostile:
    name: str
    sent: bytes
    answers: frozenset[int] = ODD
    """Statuses that may come back."""
    reaches: int = 0
    """Requests of it that reach the engine."""


def head(method: str, path: str, *fields: str, host: str = "Host: x") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", host, *fields)).encode("latin-1") + b"\r\n\r\n"


def post(key: str, body: bytes, *fields: str, path: str = CHAT) -> bytes:
    return head("POST", path, f"Authorization: Bearer {key}", "Content-Type: application/json", f"Content-Length: {len(body)}", *(fields or (CLOSE,))) + body


def chunked(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


def get(key: str, path: str, *fields: str) -> bytes:
    return head("GET", path, f"Authorization: Bearer {key}", *fields)


PATHS = (
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/chat//completions",
    "/v1/chat/completions/",
    "/v1/chat/completions//",
    "/./v1/chat/completions",
    "/v1/./chat/completions",
    "/v1/x/../chat/completions",
    "/../v1/chat/completions",
    "/v1/chat/completions/.",
    "/v1/chat/completions/..",
    "/v1/chat/completions/../../../invocations",
    "/v1/models/../../invocations",
    "/healthz/../invocations",
    "/v1/chat/completions/..;/..;/invocations",
    "/v1/models/..\\..\\invocations",
    "/healthz%2f..%2finvocations",
    "/%2e%2e/invocations",
    "/v1/%2e%2e/invocations",
    "/v1/%2E%2E%2Finvocations",
    "/v1%2fchat%2fcompletions",
    "/v1%2Fchat/completions",
    "/v1%5cchat%5ccompletions",
    "/%76%31/chat/completions",
    "/v1/chat/%63ompletions",
    "/v1/chat/completions%00",
    "/v1/chat/completions%20",
    "/v1/chat/completions%0a",
    "/v1/chat/completions%0d%0aX-Stackproof-Tenant:admin",
    "/v1/chat/completions%3Fa=b",
    "/v1/chat/completions%23",
    "/v1/chat/completions%252f",
    "/v1/chat/completions%c0%af",
    "/v1/chat/completions%",
    "/v1/chat/completions%zz",
    "/v1/chat/completions;a=b",
    "/v1/chat;a=b/completions",
    "/V1/chat/completions",
    "/v1/Chat/Completions",
    "/v1/chat/COMPLETIONS",
    "/v1/chat/completions.",
    "/v1/chat/completions.json",
    "/v1/chat/completions~",
    "/v1/chat/completions:",
    "\\v1\\chat\\completions",
    "/v1\\chat\\completions",
    "/v1/chat/completions\\",
    "/v1/chat/completions#",
    "/v1/chat/completions#x",
    "/v1/chat/completions?a=b",
    "/v1/chat/completions?model=x",
    "/v1/chat/completions?api_key=x",
    "/v1/chat/completions?%00",
    "/v1/chat/completions??",
    "/v1/chat/completions/render",
    "/v1/chat/completions/batch",
    "/v1/chat/completions/1",
    "http://x/v1/chat/completions",
    "http://127.0.0.1/invocations",
    "https://x/v1/chat/completions",
    "//x/v1/chat/completions",
    "file:///etc/passwd",
    "x:443",
    "*",
    "v1/chat/completions",
    "",
    ".",
    "/",
    "/.models",
    "/.ended",
    "/v1/chat/completions\x80",
    "/v1/ch\xe4t/completions",
    "/v1/chat/completions\x01",
    "/v1/chat/completions\x7f",
    "/" + "a" * 8000,
    "/v1/chat/completions?" + "a" * 20_000,
)


def paths(key: str) -> Iterator[Hostile]:
    for path in PATHS:
        shown = path if len(path) < 80 else f"{path[:30]}... of {len(path)} characters"
        yield Hostile(f"path {shown!r}", post(key, GOOD_BODY, path=path))
    for path in ("/v1/models/", "/v1/models/m", "/v1/models?a=b", "//v1/models", "/v1/./models", "/v1/models%00", "/healthz/", "/HEALTHZ"):
        yield Hostile(f"path to read {path}", get(key, path, CLOSE))


METHODS = ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PROPFIND", "post", "Post", "POST,GET", "P\x00ST", "", "A" * 5000)


def methods(key: str) -> Iterator[Hostile]:
    sent = post(key, GOOD_BODY)
    for method in METHODS:
        yield Hostile(f"method {method[:10]!r}", sent.replace(b"POST", method.encode(), 1))
    yield Hostile("a read of what is only posted to", get(key, CHAT))
    yield Hostile("a head of the models", head("HEAD", "/v1/models", f"Authorization: Bearer {key}"))
    yield Hostile("a post to what is only read", post(key, b"{}", path="/v1/models"))
    yield Hostile("a read with a body", get(key, "/v1/models", "Content-Length: 2") + b"{}")
    yield Hostile("a read with a chunked body", get(key, "/v1/models", "Transfer-Encoding: chunked") + chunked(b"{}"))
    yield Hostile("an override of the method", get(key, CHAT, "X-HTTP-Method-Override: POST"))


def framing(key: str) -> Iterator[Hostile]:
    """How long a request is, and where the next begins. What is hidden in a body asks for a route that every key may read."""
    hidden = get(key, "/v1/models")
    start = head("POST", CHAT, f"Authorization: Bearer {key}").removesuffix(b"\r\n")
    size = len(GOOD_BODY)

    def case(name: str, *fields: bytes, body: bytes = GOOD_BODY, answers: frozenset[int] = ODD, reaches: int = 0) -> Hostile:
        return Hostile(f"framing: {name}", start + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body, answers, reaches)

    both = b"0\r\n\r\n" + hidden
    yield case("a length and chunks, the length longer", b"Content-Length: %d" % len(both), b"Transfer-Encoding: chunked", body=both)
    yield case("chunks and a length, the length shorter", b"Transfer-Encoding: chunked", b"Content-Length: 4", body=chunked(GOOD_BODY) + hidden)
    for value in (
        b"xchunked",
        b"chunked, identity",
        b"identity, chunked",
        b"identity",
        b"gzip, chunked",
        b"chunked, chunked",
        b"chunked;q=1",
        b'"chunked"',
        b"\x0bchunked",
        b"chunked\x0b",
        b"chunked\x00",
        b"cow",
        b"",
        b",chunked",
        b"chunked,",
        b"chunk",
        b"deflate",
        b"chunked\xff",
    ):
        yield case(f"transfer encoding {value!r}", b"Transfer-Encoding: " + value, body=chunked(GOOD_BODY) + hidden)
        yield case(f"transfer encoding {value!r} and a length", b"Transfer-Encoding: " + value, b"Content-Length: %d" % size, body=GOOD_BODY + hidden)
    for field in (
        b"Transfer-Encoding : chunked",
        b" Transfer-Encoding: chunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding\t: chunked",
        b"Transfer_Encoding: chunked",
        b"Transfer-Encoding\x00: chunked",
        b"X: y\nTransfer-Encoding: chunked",
        b"X: y\x00\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ):
        yield case(f"{field!r} and a length", b"Content-Length: %d" % size, field, body=GOOD_BODY + both)
    for field in (b"X: y\r\n\tTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked"):  # a value to Envoy, and to the engine
        yield case(f"{field!r} and a length", b"Content-Length: %d" % size, field, body=GOOD_BODY + both, answers=PASSED | BAD, reaches=1)
    for value in (
        b"+%d",
        b"-%d",
        b"0x%x",
        b"%d,%d",
        b"%d, %d",
        b"%d.0",
        b"%de0",
        b"%d %d",
        b"%d_0",
        b"\xd9\xa5%d",
        b"%dx",
        b"\x0b%d",
        b"",
        b"99999999999999999999",
        b"18446744073709551617",
        b"-0",
    ):
        length = value % ((size,) * value.count(b"%"))
        yield case(f"length {length!r}", b"Content-Length: " + length, body=GOOD_BODY + hidden)
    yield case("two lengths that differ", b"Content-Length: %d" % size, b"Content-Length: %d" % (size + len(hidden)), body=GOOD_BODY + hidden)
    yield case("two lengths that agree", b"Content-Length: %d" % size, b"Content-Length: %d" % size)
    yield case("a length on the next line", b"Content-Length:\r\n %d" % size, answers=PASSED, reaches=1)
    yield case("no length", body=GOOD_BODY)
    for name, body in {
        "of negative size": b"-1\r\n" + GOOD_BODY + b"\r\n0\r\n\r\n",
        "of a size beyond 64 bits": b"fffffffffffffffff1\r\n" + GOOD_BODY + b"\r\n0\r\n\r\n",
        "with a prefix": b"0x%x\r\n" % size + GOOD_BODY + b"\r\n0\r\n\r\n",
        "with a plus": b"+%x\r\n" % size + GOOD_BODY + b"\r\n0\r\n\r\n",
        "with a space": b" %x\r\n" % size + GOOD_BODY + b"\r\n0\r\n\r\n",
        "with an underscore": b"1_0\r\n" + GOOD_BODY + b"\r\n0\r\n\r\n",
        "without a size": b"\r\n" + GOOD_BODY + b"\r\n0\r\n\r\n",
        "that end with a bare line feed": b"%x\n" % size + GOOD_BODY + b"\n0\n\n",
        "that are longer than they say": b"5\r\n" + GOOD_BODY + b"\r\n0\r\n\r\n",
        "with a carriage return in an extension": b"%x;a\rb\r\n" % size + GOOD_BODY + b"\r\n0\r\n\r\n",
        "with a line feed in an extension": b"%x;a\nGET /v1/models HTTP/1.1\r\n" % size + GOOD_BODY + b"\r\n0\r\n\r\n",
        "with trailers of 100,000 bytes": chunked(GOOD_BODY)[:-2] + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        "with a trailer that is none": chunked(GOOD_BODY)[:-2] + b"no colon\r\n\r\n",
    }.items():
        yield case(f"chunks {name}", b"Transfer-Encoding: chunked", body=body)
    extended = b"%x;%s\r\n" % (size, b"a" * 100_000) + GOOD_BODY + b"\r\n0\r\n\r\n"
    yield case("chunks with an extension of 100,000 bytes", b"Transfer-Encoding: chunked", body=extended, answers=PASSED, reaches=1)
    yield case(
        "chunks of one byte each",
        b"Transfer-Encoding: chunked",
        body=b"".join(chunked(GOOD_BODY[i : i + 1])[:-5] for i in range(size)) + b"0\r\n\r\n",
        answers=PASSED,
        reaches=1,
    )
    trailers = b"x-stackproof-tenant: school\r\nauthorization: Bearer x\r\ntransfer-encoding: chunked\r\n\r\n"
    yield case("claims in trailers", b"Transfer-Encoding: chunked", body=chunked(GOOD_BODY)[:-2] + trailers, answers=PASSED, reaches=1)
    yield case(
        "a second request without a key", b"Content-Length: %d" % size, body=GOOD_BODY + head("GET", "/v1/models"), answers=frozenset({200, 401}), reaches=1
    )
    yield case(
        "a second request for a closed route", b"Content-Length: %d" % size, body=GOOD_BODY + get(key, "/invocations"), answers=frozenset({200, 404}), reaches=1
    )
    yield case("a second request that is none", b"Content-Length: %d" % size, body=GOOD_BODY + b"\x00\x01\x02", answers=frozenset({200, 400}), reaches=1)


def heads(key: str) -> Iterator[Hostile]:
    """What is odd in a request's first lines."""
    auth = f"Authorization: Bearer {key}\r\n".encode()
    for line in (
        b"GET /v1/models HTTP/1.0",
        b"GET /v1/models HTTP/0.9",
        b"GET /v1/models",
        b"GET /v1/models HTTP/1.2",
        b"GET /v1/models HTTP/2.0",
        b"GET /v1/models HTTP/3",
        b"GET /v1/models http/1.1",
        b"GET /v1/models HTTP/1.1.1",
        b"GET /v1/models HTTP/01.1",
        b"GET /v1/models XTTP/1.1",
        b" GET /v1/models HTTP/1.1",
        b"GET /v1/models HTTP/1.1 x",
        b"GET /v1/models HTTP/1.1\x00",
        b"GET /v1/ models HTTP/1.1",
        b"\x00GET /v1/models HTTP/1.1",
        b"G\xc3\x8bT /v1/models HTTP/1.1",
        b"PRI * HTTP/2.0",
    ):
        yield Hostile(f"first line {line!r}", line + b"\r\nHost: x\r\n" + auth + b"\r\n")
    for host in (
        b"",
        b"Host:",
        b"Host: ",
        b"Host: x\r\nHost: x",
        b"Host: x\r\nHost: y",
        b"Host: x, y",
        b"Host: x/y",
        b"Host: a@b",
        b"Host: x y",
        b"Host: x\x00",
        b"Host: x?",
        b"Host: x#",
        b"Host: <x>",
        b"Host : x",
        b"Host: x\r\nhost: y",
        b"Host: \xff",
    ):
        yield Hostile(f"host {host!r}", b"GET /v1/models HTTP/1.1\r\n" + host + b"\r\n" * bool(host) + auth + b"\r\n")
    for field in (
        b": x",
        b"no colon",
        b"a b: c",
        b"a\x00: b",
        b"a: b\x00c",
        b"a\r: b",
        b"\xe4: b",
        b"a(b): c",
        b"x_tenant: y",
        b"x_stackproof_tenant: y",
        b"Upgrade: websocket\r\nConnection: upgrade",
        b"Upgrade: TLS/1.2\r\nConnection: upgrade",
        b"a" * 70_000 + b": b",
        b"a: " + b"b" * 70_000,
        b"Cookie: " + b"c" * 40_000,
        b"\r\n".join(b"a%d: b" % number for number in range(60)),
        b"\r\n".join([b"a: b"] * 300),
        b":path: /invocations",
        b":authority: y",
        b":method: POST",
    ):
        yield Hostile(f"header {field[:40]!r}", b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + auth + field + b"\r\n\r\n")
    lines = get(key, "/v1/models", CLOSE)
    for name, sent in {
        "two spaces in the first line": lines.replace(b"GET /", b"GET  /"),
        "tabs in the first line": lines.replace(b"GET /", b"GET\t/").replace(b" HTTP", b"\tHTTP"),
        "two carriage returns": lines.replace(b"HTTP/1.1\r", b"HTTP/1.1\r\r"),
        "lines that end with a bare line feed": lines.replace(b"\r\n", b"\n"),
        "a host on the next line": lines.replace(b"Host: x", b"Host:\r\n x"),
        "a claim on a folded line": lines.replace(b"Host: x", b"Host: x\r\nA: b\r\n x-stackproof-tenant: school"),
        "a claim behind a bare carriage return": lines.replace(b"Host: x", b"Host: x\r\nA: b\rx-stackproof-tenant: school"),
        "an upgrade to HTTP/2": get(key, "/v1/models", "Upgrade: h2c", "Connection: close, upgrade, http2-settings", "HTTP2-Settings: AAMAAABkAAQ"),
        "a wish that nobody grants": get(key, "/v1/models", "Expect: 200-ok", CLOSE),
    }.items():  # Envoy reads them as one request, and writes it anew
        yield Hostile(name, sent, PASSED, reaches=1)
    yield Hostile("lines that end with a bare carriage return", lines.replace(b"\r\n", b"\r"))
    yield Hostile("a key on a folded line", b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX: y\r\n " + auth + b"\r\n", UNAUTHORISED | ODD)
    yield Hostile("a greeting of TLS", bytes.fromhex("16030100b8010000b40303") + b"\x00" * 180)
    yield Hostile("a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    yield Hostile("random bytes", hashlib.shake_256(b"seed").digest(4096))
    yield Hostile("an upload to a proxy", b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n" + auth + b"\r\n")


def credentials(key: str, expired: str, engine_key: str) -> Iterator[Hostile]:
    """What is presented in place of a key."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    for name, field in {
        "none": "X: y",
        "an empty header": "Authorization:",
        "a scheme alone": "Authorization: Bearer",
        "a scheme and a space": "Authorization: Bearer ",
        "a key nobody has": "Authorization: Bearer sp-" + "a" * 43,
        "a key and a letter": f"Authorization: Bearer {key}a",
        "a key but its last letter": f"Authorization: Bearer {key[:-1]}",
        "a key in capitals": f"Authorization: Bearer {key.upper()}",
        "a key alone": f"Authorization: {key}",
        "a key of scheme Basic": f"Authorization: Basic {base64.b64encode(f'{key}:'.encode()).decode()}",
        "a key of scheme Token": f"Authorization: Token {key}",
        "a scheme twice": f"Authorization: Bearer Bearer {key}",
        "a tab": f"Authorization: Bearer\t{key}",
        "two spaces": f"Authorization: Bearer  {key}",
        "two keys in one": f"Authorization: Bearer {key},Bearer {key}",
        "two keys": f"Authorization: Bearer {key}\r\nAuthorization: Bearer {key}",
        "a wrong and a right key": f"Authorization: Bearer x\r\nAuthorization: Bearer {key}",
        "the key's digest": f"Authorization: Bearer {digest}",
        "the digest as a key": f"Authorization: Bearer sp-{digest}",
        "a key that expired": f"Authorization: Bearer {expired}",
        "the engine's own key": f"Authorization: Bearer {engine_key}",
        "a key of 8,000 characters": f"Authorization: Bearer sp-{'a' * 8000}",
        "a key with a byte beyond ASCII": "Authorization: Bearer sp-\xff",
        "a star": "Authorization: Bearer *",
        "null": "Authorization: Bearer null",
        "a key in another header": f"X-API-Key: {key}",
        "a key as a cookie": f"Cookie: authorization=Bearer {key}",
        "a key for a proxy": f"Proxy-Authorization: Bearer {key}",
        "a key with an underscore": f"Authorization_: Bearer {key}",
        "a tenant's name": "X-Stackproof-Tenant: clinic",
        "claims of one's own": "X-Stackproof-Claims: " + base64.urlsafe_b64encode(b'{"tenant":"clinic"}').decode(),
        "an injected query": "Authorization: Bearer ' OR '1'='1",
    }.items():
        yield Hostile(f"credential: {name}", head("POST", CHAT, field, f"Content-Length: {len(GOOD_BODY)}", CLOSE) + GOOD_BODY, UNAUTHORISED | BAD)
    yield Hostile("credential: a key in the query", head("GET", f"/v1/models?api_key={key}", CLOSE), UNAUTHORISED | BAD)


CLAIMS: tuple[str, ...] = (
    *(f"x-stackproof-{name}: school" for name in ("tenant", "model", "prefix", "salt", "usage", "claims", "anything")),
    "X-STACKPROOF-TENANT: school",
    "x-stackproof-tenant: school\r\nx-stackproof-tenant: clinic",
    *(
        f"x-envoy-{name}: 1"
        for name in (
            "retry-on",
            "max-retries",
            "upstream-rq-timeout-ms",
            "upstream-rq-per-try-timeout-ms",
            "expected-rq-timeout-ms",
            "internal",
            "force-trace",
            "original-path",
            "original-dst-host",
            "external-address",
            "downstream-service-cluster",
            "decorator-operation",
            "upstream-alt-stat-name",
            "hedge-on-per-try-timeout",
            "retriable-status-codes",
            "is-timeout-retry",
            "attempt-count",
        )
    ),
    "x-forwarded-for: 127.0.0.1",
    "x-forwarded-host: admin",
    "x-forwarded-proto: https",
    "x-forwarded-port: 1",
    "x-forwarded-prefix: /invocations",
    "forwarded: for=127.0.0.1",
    "x-original-url: /invocations",
    "x-rewrite-url: /invocations",
    "x-http-method-override: DELETE",
    "x-real-ip: 127.0.0.1",
    "x-request-id: of-another-request",
    "cookie: session=of-another",
    "proxy-authorization: Basic x",
)
"""Headers by which a client would speak for the gateway or for another: the request passes, the header does not."""
HOPS = {
    "x-stackproof-tenant": 1,
    "x-request-id": 1,
    "content-length": 1,
    "transfer-encoding": 1,
    "authorization": 0,
    "authorization, x-stackproof-tenant": 0,
    "host": 0,
}
"""Headers that a client asks to be taken away on the next hop, and how many such requests reach the engine, which is to see the gateway's all the same."""


def claims(key: str) -> Iterator[Hostile]:
    for claim in CLAIMS:
        yield Hostile(f"claim {claim!r}", post(key, GOOD_BODY, claim, CLOSE), PASSED, reaches=1)
    for hop, reaches in HOPS.items():
        yield Hostile(f"connection header {hop!r}", post(key, GOOD_BODY, f"Connection: close, {hop}"), PASSED if reaches else UNAUTHORISED | BAD, reaches)
