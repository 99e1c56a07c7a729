"""Reading files of prompts, one prompt at a time (edge)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from bench.errors import BenchError

LONGEST = 16 << 20
"""Characters of one line or one conversation; a file that is not what it should be is one endless line."""
CHUNK = 1 << 20
MOST_TOKENS = 10_000_000


@dataclass(frozen=True)
class Prompt:
    """Messages of a chat request, and how many tokens the answer may have (0: as the workload says)."""

    messages: list[dict[str, Any]]
    max_tokens: int = 0


def read_jsonl(path: Path, prompt_field: str) -> Iterator[Prompt]:
    """A prompt a line, empty lines left out; BenchError names file, line and field."""
    with _open(path) as lines:
        number = 0
        while line := _next_line(lines, path, number + 1):
            number += 1
            if line.strip():
                yield _from_line(line, prompt_field, where=f"{path}, line {number}")


def read_sharegpt(path: Path) -> Iterator[Prompt]:
    """The first human turn of each conversation; one without any is left out. BenchError names file, conversation and field."""
    with _open(path) as text:
        for number, item in enumerate(_items(text, path), 1):
            words = _first_human(item, where=f"{path}, conversation {number}")
            if words is not None:
                yield Prompt([{"role": "user", "content": words}])


def _from_line(line: str, prompt_field: str, *, where: str) -> Prompt:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{where}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BenchError(f"{where}: must be one JSON object, got {_kind(found)}")
    max_tokens = found.get("max_tokens")
    if max_tokens is not None and (not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or not 1 <= max_tokens <= MOST_TOKENS):
        raise BenchError(f"{where}: field `max_tokens`: must be a whole number from 1 to {MOST_TOKENS}, got {str(max_tokens)[:40]}")
    if found.get(prompt_field) is not None:
        text = found[prompt_field]
        if not isinstance(text, str) or not text:
            raise BenchError(f"{where}: field `{prompt_field}`: must be a text that is not empty, got {_kind(text)}")
        messages: list[dict[str, Any]] = [{"role": "user", "content": text}]
    elif found.get("messages") is not None:
        messages = _checked_messages(found["messages"], where=where)
    else:
        raise BenchError(f"{where}: field `{prompt_field}`: missing: give it, or `messages`, or name another field with `prompts.prompt_field`")
    return Prompt(messages, max_tokens or 0)


def _checked_messages(messages: Any, *, where: str) -> list[dict[str, Any]]:
    if not isinstance(messages, list) or not messages:
        raise BenchError(f"{where}: field `messages`: must be a list that is not empty, got {_kind(messages)}")
    for place, each in enumerate(messages):
        field = f"messages.{place}"
        if not isinstance(each, dict) or not isinstance(each.get("role"), str):
            raise BenchError(f"{where}: field `{field}`: must be an object with the text `role`, got {_kind(each)}")
        # Only an assistant's turn of tool calls has no content; the first message, which the salt opens, must have some.
        if not isinstance(each.get("content"), str | list) and (place == 0 or "content" not in each or each["content"] is not None):
            raise BenchError(f"{where}: field `{field}.content`: must be a text or a list of parts, got {_kind(each.get('content'))}")
    return messages


def _first_human(item: Any, *, where: str) -> str | None:
    turns = item.get("conversations") if isinstance(item, dict) else None
    if not isinstance(turns, list):
        raise BenchError(f"{where}: field `conversations`: must be a list of turns, got {_kind(turns if isinstance(item, dict) else item)}")
    for place, turn in enumerate(turns):
        if not isinstance(turn, dict) or not isinstance(turn.get("from"), str) or not isinstance(turn.get("value"), str):
            raise BenchError(f"{where}: field `conversations.{place}`: must be an object with the texts `from` and `value`")
        if turn["from"] in ("human", "user") and turn["value"].strip():
            return str(turn["value"])
    return None


def _items(text: TextIO, path: Path) -> Iterator[Any]:
    """The elements of one JSON list."""
    window = _Window(text, path)
    if window.next() != "[":
        raise BenchError(f"{path}: must hold one JSON list of conversations (ShareGPT's form); for a JSON object a line use prompts of kind jsonl")
    window.drop()
    if window.next() == "]":
        return
    number = 0
    while True:
        number += 1
        yield window.value(number)
        following = window.next()
        window.drop()
        if following == "]":
            return
        if following != ",":
            raise BenchError(f"{path}, after conversation {number}: must go on with a comma or end with ], got {following or 'the end of the file'!r}")


class _Window:
    """A piece of a long JSON text: what is not read yet, and little of what is."""

    def __init__(self, text: TextIO, path: Path) -> None:
        self._text, self._path = text, path
        self._held, self._at = "", 0
        self._decode = json.JSONDecoder().raw_decode

    def next(self) -> str:
        """The next character that is not a space; nothing at the end."""
        while True:
            while self._at < len(self._held):
                if self._held[self._at] not in " \t\r\n":
                    return self._held[self._at]
                self._at += 1
            if not self._more():
                return ""

    def drop(self) -> None:
        self._at += 1

    def value(self, number: int) -> Any:
        """One whole element; BenchError when the text ends first, or goes on for too long."""
        self.next()
        while True:
            try:
                found, self._at = self._decode(self._held, self._at)
                return found
            except (ValueError, RecursionError) as error:
                if len(self._held) - self._at > LONGEST or not self._more():
                    raise BenchError(f"{self._path}, conversation {number}: not JSON: {' '.join(str(error).split())}") from None

    def _more(self) -> bool:
        piece = _read(self._text.read, CHUNK, self._path)
        self._held, self._at = self._held[self._at :] + piece, 0
        return bool(piece)


def _next_line(lines: TextIO, path: Path, number: int) -> str:
    line = _read(lines.readline, LONGEST, path)
    if len(line) == LONGEST:
        raise BenchError(f"{path}, line {number}: longer than {LONGEST >> 20} million characters")
    return line


def _read(read: Callable[[int], str], count: int, path: Path) -> str:
    try:
        return read(count)
    except UnicodeDecodeError as error:
        raise BenchError(f"field `prompts.file`: {path}: not UTF-8: {error.reason}") from None
    except OSError as error:
        raise BenchError(f"field `prompts.file`: {path}: cannot be read: {error.strerror}") from None


def _open(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8")
    except OSError as error:
        raise BenchError(f"field `prompts.file`: {path}: cannot be read: {error.strerror}") from None


def _kind(found: Any) -> str:
    """What JSON calls it."""
    names = {type(None): "nothing", bool: "a truth value", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names[type(found)]
