"""Server-sent events from bytes in any cut (logic). Format: WHATWG HTML, section 9.2.6."""

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class SseParser:
    """`feed` takes the body piece by piece and returns the data of the events that the piece completed."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._begun = False

    def feed(self, piece: bytes) -> list[bytes]:
        if self._begun and not self._rest and not self._data and _is_plain(piece):
            return [piece[6:-2]]
        text = self._rest + piece
        if not self._begun:
            if len(text) < len(_BOM) and _BOM.startswith(text):
                self._rest = text
                return []
            self._begun = True
            text = text.removeprefix(_BOM)
        # A carriage return at the end may be half of a line end.
        held = b"\r" if text.endswith(b"\r") else b""
        *lines, rest = _LINE_END.split(text[: len(text) - len(held)])
        self._rest = rest + held
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            event = b"\n".join(self._data) if self._data else None
            self._data.clear()
            return event
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        return None


def _is_plain(piece: bytes) -> bool:
    """One whole event with one line of data, as nearly every piece of a chat stream is."""
    return piece[:6] == b"data: " and piece[-2:] == b"\n\n" and piece.find(b"\n") == len(piece) - 2 and b"\r" not in piece
