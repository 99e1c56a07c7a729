"""From a body and a way to redact to edits of its bytes (pure).

A body may be larger than any header, so not the new body travels to the gateway but what is changed in it, in a header of the form
`BYTES EDITS[ GAP LENGTH TEXT]...`: the body's length, the number of edits, and for each the bytes since the last edit, the bytes that go
and what takes their place. `gateway/body.lua` makes them, and refuses a body that they do not fit.
"""

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from stack.privacy import Redaction, Span
from stack.serving.redaction.json_texts import STRING, BodyText, Unescaped, body_texts, unescape
from stack.serving.requests import RefusedError

MOST_EDITS_BYTES = 256 << 10
"""Of the header. An edit takes some 15 bytes, or 28 with pseudonyms: about 17,000 values, or 9,000."""

Find = Callable[[Sequence[str]], Sequence[Sequence[Span]]]


@dataclass(frozen=True)
class Edit:
    """Bytes of the body that go, and the ASCII without spaces that takes their place."""

    start: int
    length: int
    text: str


@dataclass(frozen=True)
class RedactedBody:
    """Edits in order, without overlap, and how many values of each kind they take out."""

    edits: tuple[Edit, ...]
    counts: dict[str, int]


@dataclass(frozen=True)
class _Searched:
    """A text as it is searched. Escapes within the arguments of a call are resolved once more, as whoever runs the call will."""

    body_text: BodyText
    inner: Unescaped
    is_json: bool


def redact_body(body: bytes, find: Find, how: Redaction) -> RedactedBody:
    """RefusedError when arguments of a call would not be JSON any more."""
    searched = [_searched(each) for each in body_texts(body)]
    edits: list[Edit] = []
    counts: Counter[str] = Counter()
    for each, spans in zip(searched, find([each.inner.text for each in searched]), strict=True):
        if spans:
            edits += _edits(each, spans, how)
            counts.update(span.kind for span in spans)
    return RedactedBody(tuple(edits), dict(sorted(counts.items())))


def write_edits(body: bytes, edits: Sequence[Edit]) -> str:
    """The header; RefusedError (413) when it would be longer than the gateway takes."""
    parts, read = [f"{len(body)} {len(edits)}"], 0
    for edit in edits:
        parts.append(f"{edit.start - read} {edit.length} {edit.text}")
        read = edit.start + edit.length
    header = " ".join(parts)
    if len(header) > MOST_EDITS_BYTES:
        told = f"holds {len(edits)} pieces of personal data, more than this gateway takes out of one request"
        raise RefusedError(f"the body {told}: send it as several", status=413)
    return header


def apply_edits(body: bytes, edits: Sequence[Edit]) -> bytes:
    """What `gateway/body.lua` makes of a body."""
    parts, read = list[bytes](), 0
    for edit in edits:
        parts += [body[read : edit.start], edit.text.encode()]
        read = edit.start + edit.length
    return b"".join([*parts, body[read:]])


def _searched(body_text: BodyText) -> _Searched:
    text = body_text.text
    is_json = body_text.is_arguments and _is_json(text)
    return _Searched(body_text, unescape(text) if is_json and "\\" in text else Unescaped(text), is_json)


def _edits(searched: _Searched, spans: Sequence[Span], how: Redaction) -> list[Edit]:
    inner = searched.inner
    found = [(inner.escaped(span.start), inner.escaped(span.end), how.replace(span, inner.text[span.start : span.end])) for span in spans]
    if searched.is_json:
        found = _quoted(searched.body_text.text, found)
    return list(_in_bytes(searched.body_text, found))


def _quoted(arguments: str, found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """A number that goes leaves a text behind, so that arguments stay JSON."""
    strings = [(match.start(), match.end()) for match in STRING.finditer(arguments)]

    def is_within_a_string(start: int, end: int) -> bool:
        last = bisect_left(strings, start, key=lambda string: string[0]) - 1
        return last >= 0 and end < strings[last][1]

    quoted = [(start, end, new if is_within_a_string(start, end) else f'"{new}"') for start, end, new in found]
    parts, read = list[str](), 0
    for start, end, new in quoted:
        parts += [arguments[read:start], new]
        read = end
    if not _is_json("".join([*parts, arguments[read:]])):
        raise RefusedError("personal data in the `arguments` of a tool call cannot be taken out without breaking them, so the request is not passed on")
    return quoted


def _in_bytes(body_text: BodyText, found: list[tuple[int, int, str]]) -> Iterator[Edit]:
    literal = body_text.literal
    outer = unescape(literal) if "\\" in literal else Unescaped(literal)
    byte, read = body_text.start, 0
    for first, last, new in found:
        start, end = outer.escaped(first), outer.escaped(last)
        byte += len(literal[read:start].encode())
        length = len(literal[start:end].encode())
        yield Edit(byte, length, json.dumps(new)[1:-1])
        byte, read = byte + length, end


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
