"""What each request says: the JSON body of request `index`, a function of the workload and the seed (logic)."""

import json
from typing import Any

from bench.errors import BenchError
from bench.seeds import derive
from bench.workload.models import Workload
from bench.workload.prompts import TextPrompt, TextsPrompts

_OPENING = b'{"messages": [{"role": "user", "content": "'


class RequestBodies:
    """Streaming chat completions that ask for the usage block.

    The salt opens the prompt: a prefix cache matches from the start, so one differing word there leaves it nothing to reuse
    beyond the chat template. It follows from the seed, so a seed used twice on one warm server is answered from its cache.
    """

    def __init__(self, workload: Workload, *, seed: int) -> None:
        prompts = workload.prompts
        if not isinstance(prompts, TextPrompt | TextsPrompts) or not isinstance(prompts.max_tokens, int):
            raise BenchError(f"field `prompts`: kind {prompts.kind} is not built yet")
        texts = (prompts.text,) if isinstance(prompts, TextPrompt) else prompts.texts
        # Everything after the salt is encoded once: a load generator builds thousands of these a second.
        self._endings = [_body(workload, text, prompts.max_tokens).removeprefix(_OPENING) for text in texts]
        self._salt = prompts.salt
        self._seed = seed

    def __call__(self, index: int) -> bytes:
        count = len(self._endings)
        ending = self._endings[derive(self._seed, "prompts", index) % count if count > 1 else 0]
        return b"%b[%016x] %b" % (_OPENING, derive(self._seed, "salt", index), ending) if self._salt else _OPENING + ending


def _body(workload: Workload, text: str, max_tokens: int) -> bytes:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": text}],
        "model": workload.model,
        "max_tokens": max_tokens,
        "temperature": workload.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if workload.prompts.ignore_eos:
        body["ignore_eos"] = True
    return json.dumps(body).encode()
