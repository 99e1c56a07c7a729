"""The JSON of a chat request, encoded once and put together a thousand times a second (logic)."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from bench.errors import BenchError
from bench.seeds import derive
from bench.workload.models import Workload

START = b'{"messages": '
OPENING = START + b'[{"role": "user", "content": "'
"""What stands before the words of a request with one user message."""
_CLOSING = b'"}]'


class Bodies(Protocol):
    """What each request of a run says, whichever worker sends it and in whatever order."""

    shared_share: float
    """Expected share of the prompt tokens that an ideal prefix cache need not work on, since earlier requests have them too."""

    def __call__(self, index: int) -> bytes:
        """JSON body of request `index`."""
        ...


class Frame:
    """Everything of a request but its messages: streaming, usage asked for, the workload's sampling, `max_tokens` last."""

    def __init__(self, workload: Workload) -> None:
        fields: dict[str, Any] = {
            "model": workload.model,
            "temperature": workload.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if workload.prompts.ignore_eos:
            fields["ignore_eos"] = True
        for name in workload.extra_body:
            if name in fields or name in OWN:
                raise BenchError(f"field `extra_body.{name}`: {OWN.get(name, 'may not be set here: the figures rest on it')}")
        try:
            self._after = b", " + json.dumps({**fields, **workload.extra_body}).encode()[1:-1] + b', "max_tokens": '
        except TypeError as error:
            raise BenchError(f"field `extra_body`: not JSON: {error}") from None

    def whole(self, messages: bytes, max_tokens: int) -> bytes:
        """With `messages` a JSON list."""
        return b"%b%b%b%d}" % (START, messages, self._after, max_tokens)

    def asking(self, words: bytes, max_tokens: int) -> bytes:
        """With one user message; `words` is the inside of a JSON string."""
        return b"%b%b%b%b%d}" % (OPENING, words, _CLOSING, self._after, max_tokens)

    def ending(self, words: bytes, max_tokens: int | None = None) -> bytes:
        """What `asking` puts after OPENING; without `max_tokens`, up to where that number and a brace must follow."""
        return b"%b%b%b%b" % (words, _CLOSING, self._after, b"" if max_tokens is None else b"%d}" % max_tokens)

    def unfinished(self, messages: bytes) -> bytes:
        """What `whole` gives, up to where the number and a brace must follow."""
        return START + messages + self._after


OWN = {
    "messages": "give the words under `prompts`",
    "max_tokens": "give it as `prompts.max_tokens`",
    "max_completion_tokens": "give it as `prompts.max_tokens`",
    "ignore_eos": "give it as `prompts.ignore_eos`",
    "temperature": "give it as `temperature`",
    "model": "give it as `model` or with --model",
}
"""Fields that have a place of their own in a workload."""


def salt(seed: int, index: int) -> bytes:
    """The word that makes a prompt unlike any other from its first token on, for text that is not drawn from the seed anyway."""
    return b"[%016x] " % derive(seed, "salt", index)


def json_inside(text: str) -> bytes:
    """`text` as it stands between the quotes of a JSON string, in ASCII."""
    return json.dumps(text).encode()[1:-1]


def message(role: str, words: bytes) -> bytes:
    """One message; `words` is the inside of a JSON string."""
    return b'{"role": "%b", "content": "%b"}' % (role.encode(), words)


def conversation(messages: Sequence[bytes]) -> bytes:
    return b"[%b]" % b", ".join(messages)
