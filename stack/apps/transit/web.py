"""The page and its JSON twin (edge). Works without JavaScript; loads nothing but its own style sheet."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime
from importlib.resources import files

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stack.apps.answer import Frozen
from stack.apps.errors import AppError
from stack.apps.transit.answerer import TripAnswerer, sample_feed
from stack.apps.transit.times import DAY_S, calendar_day, clock, long_date, parse_time
from stack.apps.transit.trips import MAX_QUESTION, Slots, TripAnswer
from stack.runtime.errors import describe_validation
from stack.serving.chat import ChatClient

MAX_BODY_BYTES = 4096
MAX_LATE_S = DAY_S  # a form's clock shows no later time
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
EXAMPLES = (
    "How do I get from the Stagecoach hotel to Furnace Creek on Wednesday 6 June 2007 at 7:15?",
    "I need to reach the airport. I am at Main and Irving on 9 June 2007 and can leave at half past six.",
    "Amargosa Valley from Bullfrog, Friday 8 June 2007, noon",
)


class QuestionBody(Frozen):
    """What POST /api/answer takes."""

    question: str
    today: date | None = Field(default=None, description="The day that words like tomorrow count from")


def create_app(answerer: TripAnswerer) -> Starlette:
    """The app over one feed; closes the answerer's client when it ends."""
    page = _Page(answerer)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if answerer.client is not None:
                await stack.enter_async_context(answerer.client)
            yield

    app = Starlette(
        routes=[Route("/", page.show), Route("/style.css", page.style), Route("/healthz", page.health), Route("/api/answer", page.answer, methods=["POST"])],
        lifespan=lifespan,
    )
    app.add_middleware(_Headers)
    return app


def serve_page(client: ChatClient | None, *, host: str, port: int) -> None:
    """Serve the shipped feed until SIGINT or SIGTERM."""
    app = create_app(TripAnswerer(sample_feed(), client))
    # No access log: a question is personal data, and it stands in the address.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.run(app, host=host, port=port, access_log=False, server_header=False, log_level="warning")


class _Headers:
    """Puts HEADERS on every response, faults included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((name.encode(), value.encode()) for name, value in HEADERS.items())]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class _Page:
    def __init__(self, answerer: TripAnswerer) -> None:
        self.answerer = answerer
        self.css = (files("stack.apps.transit") / "page" / "style.css").read_text(encoding="utf-8")
        environment = Environment(
            loader=PackageLoader("stack.apps.transit", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        environment.filters.update(clock=clock, long_date=long_date)
        self.template = environment.get_template("index.html")

    async def show(self, request: Request) -> Response:
        """The empty page, or the answer to `question`, or to the form's `from`, `to`, `day` and `time`."""
        query = request.query_params
        question = query.get("question", "")
        try:
            answer = await self.answerer.answer(question, today=_today()) if "question" in query else self._by_form(query)
        except AppError as error:
            return HTMLResponse(self._render(question, None, error=str(error)), status_code=400)
        return HTMLResponse(self._render(question, answer))

    async def style(self, _request: Request) -> Response:
        return Response(self.css, media_type="text/css")

    async def health(self, _request: Request) -> Response:
        """Alive, and with which feed; the model is not asked."""
        feed = self.answerer.feed
        return JSONResponse(
            {"status": "ok", "feed": feed.name, "feed_sha256": feed.sha256, "model": self.answerer.client.model if self.answerer.client else None}
        )

    async def answer(self, request: Request) -> Response:
        """The JSON form: a question in, a TripAnswer out; `error` says in one line what is wrong."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return JSONResponse({"error": f"the body has more than {MAX_BODY_BYTES} bytes"}, status_code=413)
        try:
            asked = QuestionBody.model_validate_json(body)
            answer = await self.answerer.answer(asked.question, today=asked.today or _today())
        except ValidationError as error:
            return JSONResponse({"error": describe_validation(error, source="body")}, status_code=400)
        except AppError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse(answer.model_dump(mode="json"))

    def _by_form(self, query: Mapping[str, str]) -> TripAnswer | None:
        """None without the form's fields; AppError names the one at fault."""
        if not {"from", "to", "day", "time"} <= set(query):
            return None
        for field in ("from", "to"):
            if query[field] not in self.answerer.feed.stops:
                raise AppError(f"field `{field}`: choose one of the stops of the list")
        try:
            day = date.fromisoformat(query["day"])
        except ValueError:
            raise AppError("field `day`: must be a date, such as 2007-06-06") from None
        try:
            depart_s = parse_time(f"{query['time']}:00")
        except ValueError:
            raise AppError("field `time`: must be a time, such as 07:15") from None
        if depart_s >= MAX_LATE_S:
            raise AppError("field `time`: must be before 24:00")
        return self.answerer.answer_slots(Slots(origin=query["from"], destination=query["to"], day=day, depart_s=depart_s))

    def _render(self, question: str, answer: TripAnswer | None, *, error: str = "") -> str:
        feed = self.answerer.feed
        day = answer.slots.day if answer else self.answerer.reference_day(_today())
        return self.template.render(
            feed=feed,
            labels=self.answerer.names.labels,
            question=question,
            max_question=MAX_QUESTION,
            examples=EXAMPLES,
            answer=answer,
            slots=answer.slots if answer else None,
            day=calendar_day(day, answer.slots.depart_s) if answer else day,
            calendar_day=calendar_day,
            trace=json.dumps([call.model_dump(mode="json") for call in answer.tool_trace], indent=2) if answer else "",
            error=error,
        )


def _today() -> date:
    return datetime.now(UTC).date()
