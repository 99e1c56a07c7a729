"""Spans taken out of a text: masked, pseudonymised or encrypted so that the key gives them back."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from stack.privacy.fold import join
from stack.privacy.keys import Key, PrivacyError
from stack.privacy.phones import e164
from stack.privacy.spans import Span

PSEUDONYM_DIGITS = 12
"""48 bits: among a million different values of one kind, two share a pseudonym with a chance of 0.2 % (birthday bound)."""

_NUMBERS = frozenset({"phone", "card", "iban", "national_id", "passport", "mac"})
_TOKEN = re.compile(r"\[([A-Z_]+)~([A-Za-z0-9_-]+)\]")
_LITERAL = "literal"
"""Kind of what looked like one of our tokens before redaction: encrypted too, so that `restore` is exact for any text."""


@dataclass(frozen=True)
class Replacement:
    """One line of the log: characters `start` to `end` of the redacted text stand for a value of this kind. Never the value."""

    start: int
    end: int
    kind: str
    country: str
    how: str


class Redaction(Protocol):
    """What stands in a value's place; `how` is its name in the log."""

    how: ClassVar[str]

    def replace(self, span: Span, value: str) -> str: ...


class Mask:
    """[EMAIL]: nothing of the value is left."""

    how: ClassVar[str] = "mask"

    def replace(self, span: Span, value: str) -> str:  # noqa: ARG002 -- the value goes
        return f"[{span.kind.upper()}]"


@dataclass(frozen=True)
class Pseudonym:
    """[EMAIL:7f3a9c21b0d4]: HMAC-SHA-256, the same for the same kind, key and value, whichever way the value is written (`canonical`)."""

    key: Key
    how: ClassVar[str] = "pseudonym"

    def replace(self, span: Span, value: str) -> str:
        return f"[{span.kind.upper()}:{self.key.digest(span.kind, canonical(span, value))[:PSEUDONYM_DIGITS]}]"


@dataclass(frozen=True)
class Reversible:
    """[EMAIL~...]: AES-SIV (RFC 5297) with the kind as associated data, no nonce: equal values give equal tokens. `restore` undoes it.

    A token's length shows that of its value.
    """

    key: Key
    how: ClassVar[str] = "reversible"

    @cached_property
    def cipher(self) -> AESSIV:
        return AESSIV(self.key.subkey("reversible"))

    def replace(self, span: Span, value: str) -> str:
        return self.token(span.kind, value)

    def token(self, kind: str, value: str) -> str:
        sealed = self.cipher.encrypt(value.encode("utf-8", "surrogatepass"), [kind.upper().encode()])
        return f"[{kind.upper()}~{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}]"


def canonical(span: Span, value: str) -> str:
    """The form under which several ways to write one value are the same: any script's digits, with or without spaces and hyphens; phones
    as E.164 where their country is known; e-mail whatever its case."""
    plain = join([value]).text
    if span.kind == "phone" and (number := e164(plain, span.country)):
        return number
    if span.kind in _NUMBERS:
        return "".join(letter for letter in plain if letter.isalnum() or letter == "+").upper()
    return plain.casefold() if span.kind == "email" else plain


def redact(text: str, spans: Sequence[Span], how: Redaction) -> tuple[str, list[Replacement]]:
    """The text with each span replaced, and where the replacements stand in it; spans as `find` gives them: in order, without overlap."""
    if isinstance(how, Reversible):
        spans = _with_literals(text, spans)
    if not spans:
        return text, []
    parts: list[str] = []
    log: list[Replacement] = []
    read = written = 0
    for span in spans:
        if span.start < read or not span.start < span.end <= len(text):
            raise ValueError(f"span {span.start} to {span.end} is empty, overlaps the one before it or ends after the text")
        new = how.replace(span, text[span.start : span.end])
        written += span.start - read
        parts += [text[read : span.start], new]
        if span.kind != _LITERAL:
            log.append(Replacement(written, written + len(new), span.kind, span.country, how.how))
        written, read = written + len(new), span.end
    return "".join([*parts, text[read:]]), log


def restore(text: str, key: Key) -> str:
    """The text before `redact` with `Reversible(key)`; refused when a token was changed or made with another key."""
    cipher = Reversible(key).cipher

    def original(token: re.Match[str]) -> str:
        try:
            sealed = base64.urlsafe_b64decode(token[2] + "=" * (-len(token[2]) % 4))
            return cipher.decrypt(sealed, [token[1].encode()]).decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError, binascii.Error):
            raise PrivacyError(f"the token at character {token.start()} was changed, or made with another key (this one is {key.fingerprint})") from None

    return _TOKEN.sub(original, text)


def _with_literals(text: str, spans: Sequence[Span]) -> list[Span]:
    """The spans and, as spans of their own, look-alikes of our tokens. Where both overlap, one literal covers both."""
    alikes = [Span(match.start(), match.end(), _LITERAL, "", "token", 1.0) for match in _TOKEN.finditer(text)] if "~" in text else []
    if not alikes:
        return list(spans)
    merged: list[Span] = []
    for span in sorted([*spans, *alikes], key=lambda span: span.start):
        if merged and span.start < merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end), _LITERAL, "", "token", 1.0)
        else:
            merged.append(span)
    return merged
