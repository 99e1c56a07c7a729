"""Keeps a warm prefix cache from answering for the model: emptied before a run, its hit rate checked after it."""

import asyncio
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.errors import BenchError
from bench.system.address import Page, metrics_page
from bench.system.http import Caller
from bench.system.models import SystemView
from bench.system.readings import UnreadableError
from bench.workload.models import CacheGuard

RESET_PATH = "/reset_prefix_cache"
ANSWER_TIMEOUT_S = 2.0
RETRY_FOR_S = 3.0
RETRY_S = 0.2
"""vLLM refuses while a request still holds blocks, as the last of an earlier run may."""

MARGIN = 0.05
TEMPLATE_TOKENS = 64
"""What a chat template and its default system prompt put before our first word, at most (SmolLM2 31, Llama 3 36): shared by all."""

RESET, OFF = "reset", "off"


def reset_prefix_cache(
    guard: CacheGuard, *, url: str, metrics_url: str | None = None, metrics_key_file: Path | None = None, ca_file: Path | None = None
) -> str:
    """Empty the engine's prefix cache, and say what came of it: `reset`, `off`, or `not reset: ` and why.

    The engine is where its metrics are: on the host and port of `metrics_url`, else of `url`. BenchError when the workload requires
    a reset and there was none; no key but `metrics_key_file`'s is sent. Takes at most RETRY_FOR_S + ANSWER_TIMEOUT_S.
    """
    if guard.reset == OFF:
        return OFF
    parts = urlsplit(metrics_page(url, metrics_url).url)
    engine = f"{parts.scheme}://{parts.netloc}"
    why = asyncio.run(_reset(Page(engine + RESET_PATH, metrics_key_file, ca_file)))
    if not why:
        return RESET
    if guard.reset == "required":
        mend = "start vLLM with VLLM_SERVER_DEV_MODE=1, name the engine's own address with --metrics-url, or set it to auto"
        raise BenchError(f"field `cache.reset`: required, but {engine}{RESET_PATH} did not do it ({why}): {mend}")
    return f"not reset: {why}"


async def _reset(page: Page) -> str:
    """Why not; empty when it was."""
    deadline = time.monotonic() + RETRY_FOR_S
    while True:
        try:
            status, body = await Caller(page, "POST").ask(timeout_s=ANSWER_TIMEOUT_S)
        except (UnreadableError, OSError, ValueError) as error:
            return " ".join(str(error).split())
        if status != 200:
            return f"HTTP {status}"
        succeeded = _succeeded(body)
        if succeeded:
            return ""
        if succeeded is None:
            return "the answer is not one of vLLM's"
        if time.monotonic() + RETRY_S > deadline:
            return "the server said that it failed: blocks are still in use"
        await asyncio.sleep(RETRY_S)


def _succeeded(body: str) -> bool | None:
    """vLLM 0.32 says `{"success": bool}`; other versions answer 200 and nothing. None: something else."""
    try:
        answer = json.loads(body) if body.strip() else {"success": True}
    except ValueError:
        return None
    success = answer.get("success") if isinstance(answer, dict) else None
    return success if isinstance(success, bool) else None


def cache_reasons(guard: CacheGuard, view: SystemView, *, shared_share: float | None) -> list[str]:
    """Why the prefix cache makes a run invalid; empty when it does not, or when the hit rate is unknown (pure function).

    `shared_share` is the share of prompt tokens that prompts have in common by design (`Bodies.shared_share`); null: unknown, and
    only `cache.max_hit_rate` is a limit then.
    """
    rate, limit = view.prefix_cache_hit_rate, hit_rate_limit(guard, shared_share=shared_share, prompt_tokens_mean=view.prompt_tokens_mean)
    if rate is None or limit is None or rate <= limit:
        return []
    told = f"{rate:.1%} of prompt tokens came from the server's prefix cache (limit {limit:.1%})"
    return [f"warm prefix cache: {told}: it knew these prompts: take another --seed, or empty it first (`cache.reset: required`)"]


def hit_rate_limit(guard: CacheGuard, *, shared_share: float | None, prompt_tokens_mean: float | None) -> float | None:
    """The workload's own limit; else what prompts share by design, the chat template in front of them included, plus 0.05."""
    if guard.max_hit_rate is not None:
        return guard.max_hit_rate
    if shared_share is None or prompt_tokens_mean is None:
        return None
    template = TEMPLATE_TOKENS / max(TEMPLATE_TOKENS, prompt_tokens_mean)
    return min(1.0, shared_share + (1 - shared_share) * template + MARGIN)
