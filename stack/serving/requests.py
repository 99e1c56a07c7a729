"""Holds request bodies to the closed schema: what the engine may be asked, field by field (pure).

A field that is not in `bodies` is refused, whatever the engine would make of it: `chat_template`,
`chat_template_kwargs`, `prompt_embeds`, `mm_processor_kwargs`, `media_io_kwargs`, regular expressions
and grammars have each been a way into vLLM. Text only: no images, no audio, no URLs to fetch.
"""

from pydantic import ValidationError

from stack.serving.bodies import BODIES
from stack.serving.bodies.base import MAX_NAME
from stack.serving.policy import BodyKind, Requests, Screening
from stack.serving.quotas import Demand
from stack.serving.screening import find_refused

UNSCREENED = Screening()
WAYS = frozenset({"str", "constrained-str", "ToolChoice"})
"""Names by which pydantic tells apart how a value may be read; they are no fields."""


class RefusedError(Exception):
    """A request the policy does not allow: what the client is told, and the HTTP status."""

    def __init__(self, reason: str, *, status: int = 400, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_s = retry_after_s
        self.tenant: str | None = None
        """Whose request it was, where that was known."""


def check_body(kind: BodyKind, body: bytes, caps: Requests, screening: Screening = UNSCREENED) -> Demand:
    """What a body asks for; RefusedError naming the field when it is not one the policy allows."""
    try:
        read = BODIES[kind].model_validate_json(body, context=caps)
    except ValidationError as error:
        raise RefusedError(_describe(error)) from None
    refused = find_refused(read.passages(), screening)
    if refused is not None:
        raise RefusedError(refused)
    return Demand(model=read.model, tokens=read.tokens(caps), asks_usage=read.asks_usage, beginning=read.beginning())


def _describe(error: ValidationError) -> str:
    """The first fault without the value: what a client sent is not repeated to logs or other readers."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    # An unknown field is told first: it is what a hostile or mistaken request is about.
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    # So are names like `list[TextPart]`.
    where = ".".join(str(part)[:MAX_NAME] for part in first["loc"] if part not in WAYS and "[" not in str(part))
    what = "not accepted by this gateway" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    return f"field `{where}`: {what}" if where else what
