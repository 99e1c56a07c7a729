"""The catalog's parser names against the registries of the installed vLLM."""

import pytest

from stack.serving.models import load_catalog
from stack.serving.plan.reasons import ENDLESS_PARSERS

pytestmark = pytest.mark.slow


def test_every_tool_and_reasoning_parser_of_the_catalog_is_known_to_the_installed_engine() -> None:
    pytest.importorskip("vllm")
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    chats = [model.chat for model in load_catalog().values() if model.chat is not None]
    tools, reasoners = {chat.tool_parser for chat in chats} - {None}, {chat.reasoning_parser for chat in chats} - {None}
    assert len(tools) >= 5
    for name in tools:
        assert ToolParserManager.get_tool_parser(name) is not None
    for name in reasoners:
        assert ReasoningParserManager.get_reasoning_parser(name) is not None


def test_a_reasoning_parser_is_left_out_exactly_when_it_cannot_tell_where_reasoning_ends() -> None:
    """With one that cannot, vLLM holds no answer to its JSON schema."""
    pytest.importorskip("vllm")
    from vllm.reasoning import ReasoningParser, ReasoningParserManager

    named = {model.chat.reasoning_parser for model in load_catalog().values() if model.chat is not None} - {None}
    endless = {name for name in named if ReasoningParserManager.get_reasoning_parser(name).is_reasoning_end is ReasoningParser.is_reasoning_end}
    assert endless == ENDLESS_PARSERS & named


def test_every_family_of_the_catalog_is_known_to_the_installed_transformers() -> None:
    from transformers import CONFIG_MAPPING

    assert {model.architecture.family for model in load_catalog().values()} <= set(CONFIG_MAPPING)
