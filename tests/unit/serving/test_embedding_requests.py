import json
from typing import Any

import pytest

from stack.serving.policy import load_policy
from stack.serving.quotas import Demand
from stack.serving.requests import RefusedError, check_body

CAPS = load_policy().requests


def check(beginning: int = 0, **fields: Any) -> Demand:
    return check_body("embeddings", json.dumps({"model": "m", "input": "Hello", **fields}).encode(), CAPS, beginning=beginning)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": ["Hello", "Jambo"], "encoding_format": "base64"},
        {"encoding_format": "float", "dimensions": 256, "user": "u"},
        {"input": ["x"] * CAPS.embedding_texts},
    ],
)
def test_what_clients_of_the_api_send_passes(fields: dict[str, Any]) -> None:
    check(**fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"input": ""}, "field `input`"),
        ({"input": []}, "field `input`"),
        ({"input": ["Hello", ""]}, "field `input"),
        ({"input": [1, 2, 3]}, "field `input"),
        ({"input": [[1, 2], [3]]}, "field `input"),
        ({"input": ["x"] * (CAPS.embedding_texts + 1)}, "field `input: their number`"),
        ({"input": ["x" * CAPS.text_chars, "x"]}, "field `input: its characters`"),
        ({"encoding_format": "bytes"}, "field `encoding_format`"),
        ({"dimensions": 0}, "field `dimensions`"),
        ({"dimensions": 1 << 20}, "field `dimensions`"),
        ({"messages": [{"role": "user", "content": "Hello"}]}, "field `messages`: not accepted"),
        ({"stream": True}, "field `stream`: not accepted"),
        ({"add_special_tokens": False}, "field `add_special_tokens`: not accepted"),
        ({"embed_dtype": "float32"}, "field `embed_dtype`: not accepted"),
    ],
)
def test_beyond_the_schema_the_answer_names_the_field(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(RefusedError) as caught:
        check(**fields)
    assert told in str(caught.value)


def test_the_estimate_counts_every_text_and_no_answer() -> None:
    demand = check(beginning=300, input=["x" * 400, "y" * 41])
    assert (demand.model, demand.tokens, demand.asks_usage, demand.beginning) == ("m", 100 + 11, True, "x" * 300)
    assert not check(input="x").beginning
