"""Holds request bodies to the closed schema: what the engine may be asked, field by field (pure).

A field that is not in `bodies` is refused, whatever the engine would make of it: `chat_template`,
`chat_template_kwargs`, `prompt_embeds`, `mm_processor_kwargs`, `media_io_kwargs`, regular expressions
and grammars have each been a way into vLLM. Text only: no images, no audio, no URLs to fetch.
"""

import re

from msgspec import DecodeError, ValidationError

from stack.serving.bodies import DECODERS
from stack.serving.bodies.base import MAX_NAME
from stack.serving.policy import BodyKind, Requests, Screening
from stack.serving.quotas import Demand
from stack.serving.screening import find_refused

UNSCREENED = Screening()
PLACE = re.compile(r" - at (?:`key` in )?`\$\.?([^`]*)`$")
"""Where the fault is, at the end of what msgspec tells: names are those of the schema, never the client's."""
UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
MISSING = re.compile(r"Object missing required field `(.*)`")


class RefusedError(Exception):
    """A request the policy does not allow: what the client is told, and the HTTP status."""

    def __init__(self, reason: str, *, status: int = 400, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_s = retry_after_s
        self.tenant: str | None = None
        """Whose request it was, where that was known."""


def check_body(kind: BodyKind, body: bytes, caps: Requests, screening: Screening = UNSCREENED, *, beginning: int = 0) -> Demand:
    """What a body asks for, with so many characters of how its prompt begins; RefusedError naming the field when the policy does not allow it."""
    try:
        read = DECODERS[kind].decode(body)
        tokens = read.tokens(caps)
    except ValidationError as error:
        raise RefusedError(_describe(str(error))) from None
    except (DecodeError, UnicodeDecodeError):
        raise RefusedError("the body is not JSON") from None
    except RecursionError:
        raise RefusedError("the body is nested too deep") from None
    except ValueError as beyond:
        raise RefusedError(str(beyond)) from None
    refused = find_refused(read.passages(), screening)
    if refused is not None:
        raise RefusedError(refused)
    return Demand(model=read.model, tokens=tokens, asks_usage=read.asks_usage, beginning=read.beginning()[:beginning] if beginning else "")


def _describe(told: str) -> str:
    """The fault without the value: what a client sent is not repeated to logs or other readers, but for the name of a field."""
    place = PLACE.search(told)
    where, what = (place[1], told[: place.start()]) if place else ("", told)
    path = [part for part in re.split(r"[.\[\]]+", where) if part]
    for form, reason in ((UNKNOWN, "not accepted by this gateway"), (MISSING, "is missing")):
        if named := form.fullmatch(what):
            path.append(named[1][:MAX_NAME])
            what = reason
    if what.startswith("Invalid enum value"):
        what = "not one of the values that are accepted"
    return f"field `{'.'.join(path)}`: {what}" if path else what
