"""The policy service: Envoy asks it about every request, and only its 200 lets one through.

`python -m stack.serving.authz --policy FILE --keys FILE --engine-key FILE --socket PATH` (or `--port`).
It sees method, path, `authorization` and the whole body; it answers 401, 404, 400 with the reason as plain
text (Envoy puts it into the API's error shape), or 200 with the tenant and the engine's own credential,
which replaces the client's. It logs nothing of a request. Responses never pass through it.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from stack.runtime.errors import StackproofError
from stack.runtime.net import LOOPBACK
from stack.serving.chat import read_key
from stack.serving.errors import ServingError
from stack.serving.gateway import TENANT_HEADER
from stack.serving.keys import KeyRing, read_keys
from stack.serving.policy import GatewayPolicy, load_policy
from stack.serving.requests import RefusedError, check_body

KEEP_ALIVE_S = 75
SCHEME = "bearer "


@dataclass(frozen=True)
class Call:
    """What Envoy tells of a request."""

    method: str
    path: str
    query: bytes
    authorization: tuple[str, ...]
    body: bytes


def judge(call: Call, policy: GatewayPolicy, ring: KeyRing) -> str:
    """The tenant whose request may pass; RefusedError with status and reason otherwise."""
    # Envoy matched the same list before; a second look costs nothing and holds when its routes are changed.
    route = next((route for route in policy.routes if (route.method, route.path) == (call.method, call.path)), None)
    if route is None:
        raise RefusedError("no such route", status=404)
    tenant = _tenant(call.authorization, ring)
    if tenant is None:
        raise RefusedError("missing or wrong API key", status=401)
    if call.query:
        raise RefusedError("a query string is not accepted")
    if route.body is not None:
        check_body(route.body, call.body, policy.requests)
    elif call.body:
        raise RefusedError(f"{call.method} {call.path} takes no body")
    return tenant


def _tenant(authorization: tuple[str, ...], ring: KeyRing) -> str | None:
    """None when the header is missing, repeated, of another scheme, or its key is not valid."""
    value = authorization[0] if len(authorization) == 1 else ""
    return ring.tenant_of(value[len(SCHEME) :]) if value[: len(SCHEME)].lower() == SCHEME else None


def build_app(policy: GatewayPolicy, ring: KeyRing, engine_key: str) -> Starlette:
    """An ASGI application that decides; the policy and keys are fixed for its life."""

    async def decide(request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1")
        if (request.method, path) == ("GET", policy.health_path):
            return Response(status_code=200)
        authorization = tuple(request.headers.getlist("authorization"))
        call = Call(request.method, path, request.scope["query_string"], authorization, await request.body())
        try:
            tenant = judge(call, policy, ring)
        except RefusedError as refused:
            headers = {"www-authenticate": "Bearer"} if refused.status == 401 else None
            return PlainTextResponse(str(refused), refused.status, headers)
        return Response(status_code=200, headers={"authorization": f"Bearer {engine_key}", TENANT_HEADER: tenant})

    return Starlette(routes=[Route("/{path:path}", decide, methods=["GET", "POST"])])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m stack.serving.authz", description=__doc__)
    for name in ("--policy", "--keys", "--engine-key"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--socket", help="listen on this UNIX socket")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, help="listen on this port instead of a socket")
    options = parser.parse_args(argv)
    try:
        engine_key = read_key(options.engine_key)
        if not engine_key:
            raise ServingError(f"engine key file {options.engine_key} is empty")
        app = build_app(load_policy(options.policy), read_keys(options.keys), engine_key)
    except StackproofError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    uvicorn.run(
        app,
        host=options.host,
        port=options.port or 0,
        uds=options.socket,
        access_log=False,
        log_level="warning",
        lifespan="off",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
