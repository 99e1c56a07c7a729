"""Reads Envoy's reports of ended requests: OTLP over HTTP, of which only the texts matter (pure).

The layout is that of opentelemetry/proto/collector/logs/v1: resource_logs (1) > scope_logs (2) > log_records (2) >
body (5) > string_value (1), all length-delimited. It is read by hand so that the policy service needs no protobuf runtime.
"""

from collections.abc import Iterator
from dataclasses import dataclass

BODY_PATH = (1, 2, 2, 5, 1)
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10
BAD_REQUEST = 400


@dataclass(frozen=True)
class Ended:
    """How a request ended. Token counts are the engine's own, None where it told none."""

    request_id: str
    status: int
    prompt_tokens: int | None
    completion_tokens: int | None
    tenant: str | None
    method: str
    path: str
    duration_s: float
    """From the first byte of the request to the last of the answer."""
    first_byte_s: float | None
    """To the first byte that the engine answered; None where it answered nothing."""

    @property
    def tokens(self) -> int | None:
        """What it came to: the engine's count, nothing for a refusal, None (unknown) for an answer without a count."""
        if self.prompt_tokens is not None and self.completion_tokens is not None:
            return self.prompt_tokens + self.completion_tokens
        return 0 if self.status >= BAD_REQUEST else None


def read_reports(message: bytes) -> tuple[Ended, ...]:
    """ValueError when the message is not one of Envoy's reports."""
    return tuple(_ended(text.decode()) for text in _fields(message, BODY_PATH))


def _ended(text: str) -> Ended:
    request_id, status, prompt, completion, tenant, method, path, duration_ms, first_byte_ms = text.split(" ")
    return Ended(
        request_id=request_id,
        status=int(status),
        prompt_tokens=_count(prompt),
        completion_tokens=_count(completion),
        tenant=None if tenant == "-" else tenant,
        method=method,
        path=path,
        duration_s=int(duration_ms) / 1000,
        first_byte_s=None if first_byte_ms == "-" else int(first_byte_ms) / 1000,
    )


def _count(text: str) -> int | None:
    return None if text == "-" else int(float(text))


def _fields(message: bytes, path: tuple[int, ...]) -> Iterator[bytes]:
    """The length-delimited fields at the end of `path`."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == LENGTH_DELIMITED:
            length, position = _varint(message, position)
            content, position = message[position : position + length], position + length
            if number == path[0]:
                yield from _fields(content, path[1:]) if len(path) > 1 else (content,)
        elif kind == VARINT:
            _, position = _varint(message, position)
        elif kind in {FIXED64, FIXED32}:
            position += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"no OTLP message: wire type {kind}")
    if position != len(message):
        raise ValueError("no OTLP message: it ends within a field")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(MAX_VARINT_BYTES):
        if position + index >= len(message):
            break
        byte = message[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # the high bit says that more follows
            return value, position + index + 1
    raise ValueError("no OTLP message: a number does not end")
