"""The installed engine's own request schema, for the fields that the gateway writes into bodies."""

from typing import Any

import pytest

from stack.serving.decisions import cache_salt

pytestmark = pytest.mark.slow
SALTED: dict[str, Any] = {"cache_salt": cache_salt("sp-engine", "clinic"), "stream_options": {"include_usage": True}, "model": "m", "stream": True}


def test_the_engine_reads_salt_and_usage_option_of_chats_and_completions() -> None:
    chat = pytest.importorskip("vllm.entrypoints.openai.chat_completion.protocol", reason="the engine is not installed")
    completion = pytest.importorskip("vllm.entrypoints.openai.completion.protocol", reason="the engine is not installed")
    read = (
        chat.ChatCompletionRequest.model_validate({**SALTED, "messages": [{"role": "user", "content": "Hello"}]}),
        completion.CompletionRequest.model_validate({**SALTED, "prompt": "Hello"}),
    )
    for each in read:
        assert each.cache_salt == SALTED["cache_salt"]
        assert each.stream_options.include_usage is True


def test_the_engine_reads_the_salt_of_embeddings() -> None:
    embed = pytest.importorskip("vllm.entrypoints.pooling.embed.protocol", reason="the engine is not installed")
    read = embed.EmbeddingCompletionRequest.model_validate({"cache_salt": SALTED["cache_salt"], "model": "m", "input": "Hello"})
    assert read.cache_salt == SALTED["cache_salt"]
