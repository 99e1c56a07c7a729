"""Votes by counting words."""

import pytest

from stack.pipelines.labeling import Keywords, Llm
from stack.pipelines.labeling.requests import messages
from stack.pipelines.labeling.votes import count_keywords

LEXICON = {"praise": ("good", "luar biasa"), "complaint": ("bad", "not good", "tidak enak")}


def vote(text: str, otherwise: str | None = None) -> str | None:
    labeler = Keywords.model_validate({"kind": "keywords", "name": "k", "lexicon": LEXICON, "otherwise": otherwise})
    return count_keywords(labeler, [text])[0].label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Good.", "praise"),
        ("GOOD, good, bad", "praise"),
        ("not  GOOD", "complaint"),
        ("LUAR\nBIASA!", "praise"),
        ("makanan tidak enak", "complaint"),
        ("goods and badges", None),
        ("good and bad", None),
        ("", None),
    ],
)
def test_whole_words_are_counted_and_the_longest_phrase_wins(text: str, label: str | None) -> None:
    assert vote(text) == label


def test_a_tie_or_no_hit_gives_the_vote_that_the_pipeline_names() -> None:
    assert vote("good and bad", "neutral") == vote("chair", "neutral") == "neutral"


def test_a_prompt_with_braces_and_a_text_with_the_marker_stay_what_they_are() -> None:
    labeler = Llm.model_validate({"kind": "llm", "name": "m", "prompt": '{"t": "{text}"}', "system": "s", "examples": [{"text": "e", "label": "l"}]})
    assert [(each["role"], each["content"]) for each in messages(labeler, "{text} {0}")] == [
        ("system", "s"),
        ("user", '{"t": "e"}'),
        ("assistant", "l"),
        ("user", '{"t": "{text} {0}"}'),
    ]
