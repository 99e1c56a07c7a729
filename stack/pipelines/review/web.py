"""The review page over HTTP on loopback (edge): one page, its style and script, and a small JSON interface.

Three guards: the Host header must be loopback (DNS rebinding), a browser's Origin must be the page's own, and every call
carries the token that was written into the page when the server started (cross-site requests).
"""

import contextlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stack.pipelines.errors import PipelineError
from stack.pipelines.review.decisions import Reviewer
from stack.pipelines.review.desk import Asked, Desk
from stack.pipelines.review.guidelines import read_guidelines
from stack.pipelines.review.log import open_log
from stack.pipelines.review.queue import read_dataset
from stack.runtime.errors import describe_validation
from stack.runtime.net import LOOPBACK, free_port, require_free
from stack.runtime.page import LOOK

MAX_BODY_BYTES = 64 << 10
TOKEN_HEADER = "x-review-token"  # noqa: S105 -- a header's name
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

Handler = Callable[[Request], Awaitable[Response]]


class _Who(BaseModel):
    reviewer: Reviewer


def serve_review(out: Path, *, guidelines: str | None = None, port: int | None = None, say: Callable[[str], None]) -> None:
    """Serve the page until SIGINT or SIGTERM; `say` gets its address. `guidelines`: a Markdown file's name, or text.

    PipelineError when the folder holds no dataset, or another review or import has it open.
    """
    dataset, html = read_dataset(out), read_guidelines(guidelines)
    if port is not None:
        require_free(LOOPBACK, port, option="--port")
    with open_log(out) as log:
        chosen = port or free_port()
        app = create_app(Desk(dataset, log), title=out.resolve().name, guidelines=html, port=chosen)
        say(f"http://{LOOPBACK}:{chosen}/")
        # No access log: reviewers' names stand in addresses.
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.run(app, host=LOOPBACK, port=chosen, access_log=False, server_header=False, log_level="warning")


def create_app(desk: Desk, *, title: str, guidelines: str, port: int) -> Starlette:
    """The app over one desk; `guidelines` is HTML that is safe to show."""
    token = secrets.token_urlsafe(32)
    page, calls = _Page(desk, title=title, guidelines=guidelines, token=token), _Calls(desk)
    routes = [
        Route("/", page.show),
        Route("/review.css", page.style),
        Route("/review.js", page.script),
        Route("/api/state", _guarded(calls.state, token)),
        Route("/api/record", _guarded(calls.record, token)),
        Route("/api/disputes", _guarded(calls.disputes, token)),
        Route("/api/decide", _guarded(calls.decide, token), methods=["POST"]),
        Route("/api/undo", _guarded(calls.undo, token), methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_Door, hosts=(f"{LOOPBACK}:{port}", f"localhost:{port}"))])


class _Door:
    """Lets in only requests to this very server and from its own page; puts HEADERS on every response."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((name.encode(), value.encode()) for name, value in HEADERS.items())]
            await send(message)

        fault = self._fault(Request(scope))
        app = self.app if fault is None else JSONResponse({"error": fault}, status_code=403)
        await app(scope, receive, with_headers)

    def _fault(self, request: Request) -> str | None:
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if host not in self.hosts:
            return "this page answers only to its own address on this machine"
        if origin is not None and origin != f"http://{host}":
            return "the request comes from another site"
        return None


def _guarded(handler: Handler, token: str) -> Handler:
    """Token first; a user's mistake becomes one line of JSON."""

    async def guarded(request: Request) -> Response:
        # In bytes: comparing str raises on what is not ASCII.
        if not hmac.compare_digest(request.headers.get(TOKEN_HEADER, "").encode(), token.encode()):
            return JSONResponse({"error": "token"}, status_code=403)
        try:
            return await handler(request)
        except ValidationError as error:
            return JSONResponse({"error": describe_validation(error, source="request")}, status_code=400)
        except PipelineError as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return guarded


class _Page:
    def __init__(self, desk: Desk, *, title: str, guidelines: str, token: str) -> None:
        folder = files("stack.pipelines.review") / "page"
        self.css = LOOK.read_text(encoding="utf-8") + (folder / "review.css").read_text(encoding="utf-8")
        self.js = (folder / "review.js").read_text(encoding="utf-8")
        environment = Environment(loader=PackageLoader("stack.pipelines.review", "page"), autoescape=True, undefined=StrictUndefined)
        template = environment.get_template("index.html")
        self.html = template.render(title=title, guidelines=guidelines, token=token, labels=desk.dataset.labels)

    async def show(self, _request: Request) -> Response:
        return HTMLResponse(self.html)

    async def style(self, _request: Request) -> Response:
        return Response(self.css, media_type="text/css")

    async def script(self, _request: Request) -> Response:
        return Response(self.js, media_type="text/javascript")


class _Calls:
    """The JSON interface. Handlers do not await between reading state and writing it, so they run one after the other."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def state(self, request: Request) -> Response:
        return JSONResponse(self.desk.progress(_reviewer(request)))

    async def record(self, request: Request) -> Response:
        position = TypeAdapter(int).validate_python(request.query_params.get("position", ""))
        return JSONResponse(self.desk.record(_reviewer(request), position, show_votes=request.query_params.get("votes") == "1"))

    async def disputes(self, _request: Request) -> Response:
        return JSONResponse({"disputes": self.desk.disputes()})

    async def decide(self, request: Request) -> Response:
        asked = Asked.model_validate_json(await _body(request))
        decision = self.desk.decide(asked)
        return JSONResponse({"seq": decision.seq, "state": self.desk.progress(asked.reviewer)})

    async def undo(self, request: Request) -> Response:
        who = _Who.model_validate_json(await _body(request)).reviewer
        position = self.desk.undo(who)
        return JSONResponse({"position": position, "state": self.desk.progress(who)})


def _reviewer(request: Request) -> str:
    return _Who.model_validate({"reviewer": request.query_params.get("reviewer", "")}).reviewer


async def _body(request: Request) -> bytes:
    """PipelineError beyond MAX_BODY_BYTES."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise PipelineError(f"the body has more than {MAX_BODY_BYTES} bytes")
    return body
