"""What each request says: the JSON body of request `index`, a function of the workload and the seed (logic)."""

import json
from typing import Any

from bench.seeds import derive
from bench.workload import TextPrompt, Workload


def request_body(workload: Workload, *, index: int, seed: int) -> bytes:
    """A streaming chat completion that asks for the usage block.

    The salt opens the prompt: a prefix cache matches from the start, so one differing word there leaves it nothing to reuse
    beyond the chat template. It follows from the seed, so a seed used twice on one warm server is answered from its cache.
    """
    prompts = workload.prompts
    text = prompts.text if isinstance(prompts, TextPrompt) else prompts.texts[derive(seed, "prompts", index) % len(prompts.texts)]
    if prompts.salt:
        text = f"[{derive(seed, 'salt', index):016x}] {text}"
    body: dict[str, Any] = {
        "model": workload.model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": prompts.max_tokens,
        "temperature": workload.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if prompts.ignore_eos:
        body["ignore_eos"] = True
    return json.dumps(body, ensure_ascii=False).encode()
