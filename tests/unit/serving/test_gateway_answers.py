import re

from hypothesis import given
from hypothesis import strategies as st

from stack.serving.gateway.answers import STATUS, TOLD, any_but

LETTERS = st.text(alphabet="ab-:", max_size=5)
KEPT = (*TOLD, STATUS)


@given(st.sets(LETTERS, max_size=6), LETTERS)
def test_the_pattern_is_of_every_text_but_the_words(words: set[str], text: str) -> None:
    assert (re.fullmatch(any_but(words), text) is not None) == (text not in words)


@given(st.sampled_from(KEPT), st.integers(0, 20), st.sampled_from(["", "x", "-"]))
def test_a_header_that_only_looks_like_an_allowed_one_is_removed(name: str, kept: int, more: str) -> None:
    told = name[:kept] + more
    assert (re.fullmatch(any_but(KEPT), told) is not None) == (told not in KEPT)
