"""Where the texts of a JSON body stand in its bytes, and what their escapes stand for (pure).

Bodies come here when they passed the closed schema, so they are JSON in UTF-8. A key that is repeated is no matter: the texts
of every member are found, whichever of them a reader takes.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_TOKEN = re.compile(rb'"((?:[^"\\]++|\\.)*+)"(\s*+:)?|[{}]', re.DOTALL)
"""What the place of a text is known by: a string with a colon behind it is a key, lists change no path."""
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

ARGUMENTS = ("messages", "tool_calls", "function", "arguments")
"""A text that is JSON itself, most of the time."""
EXACT = frozenset(
    {
        ("model",), ("reasoning_effort",), ("encoding_format",), ("tool_choice",), ("tool_choice", "type"), ("tool_choice", "function", "name"),
        ("messages", "role"), ("messages", "content", "type"), ("messages", "tool_call_id"), ("messages", "tool_calls", "id"),
        ("messages", "tool_calls", "type"), ("messages", "tool_calls", "function", "name"), ("tools", "type"), ("tools", "function", "name"),
        ("response_format", "type"), ("response_format", "json_schema", "name"),
    }
)  # fmt: skip
"""Names that somebody refers to: left as they are. Everything else that is a text is searched, a field that is new here included."""
SCHEMAS = (("tools", "function", "parameters"), ("response_format", "json_schema", "schema"))
SCHEMA_WORDS = frozenset({"$ref", "format", "required", "type"})
"""Keywords whose texts are names, too."""


@dataclass(frozen=True)
class Unescaped:
    """A text, and where its characters stand in its escaped form."""

    text: str
    behind: tuple[int, ...] = ()
    """Places in the text right behind each character that was escaped."""
    behind_escaped: tuple[int, ...] = ()
    """The same places in the escaped form."""

    def escaped(self, place: int) -> int:
        """The place in the escaped form of a place between two characters of the text."""
        last = bisect_right(self.behind, place) - 1
        return place if last < 0 else self.behind_escaped[last] + place - self.behind[last]


@dataclass(frozen=True)
class BodyText:
    """One text: its escaped form without the quotes, and the byte it begins at."""

    start: int
    literal: str
    is_arguments: bool

    @cached_property
    def text(self) -> str:
        return _loads(self.literal)


def body_texts(body: bytes) -> Iterator[BodyText]:
    """Every text of the body but those that are names."""
    path: list[str] = []
    for token in _TOKEN.finditer(body):
        content = token[1]
        if content is None:
            if token[0] == b"{":
                path.append("")
            else:
                path.pop()
        elif token[2] is not None:
            path[-1] = _loads(content.decode())
        elif content and not _is_name(place := tuple(path)):
            yield BodyText(token.start(1), content.decode(), place == ARGUMENTS)


def unescape(escaped: str) -> Unescaped:
    """With every escape resolved; what is none stays, quotes included."""
    parts: list[str] = []
    behind: list[int] = []
    behind_escaped: list[int] = []
    read = length = 0
    for match in _ESCAPE.finditer(escaped):
        parts += [escaped[read : match.start()], _character(match)]
        length += match.start() - read + 1
        read = match.end()
        behind.append(length)
        behind_escaped.append(read)
    return Unescaped("".join([*parts, escaped[read:]]), tuple(behind), tuple(behind_escaped))


def _loads(literal: str) -> str:
    return str(json.loads(f'"{literal}"')) if "\\" in literal else literal


def _character(match: re.Match[str]) -> str:
    high, low, code, short = match.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
    return chr(int(code, 16)) if code else _SHORT.get(short, short)


def _is_name(path: tuple[str, ...]) -> bool:
    return path in EXACT or (path[-1:] != () and path[-1] in SCHEMA_WORDS and any(path[: len(schema)] == schema for schema in SCHEMAS))
