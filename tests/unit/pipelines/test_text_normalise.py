"""Normalise: what is mended, removed and kept."""

import unicodedata
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stack.pipelines.base import Batch, Work
from stack.pipelines.text import Normalise

WORK = Work(Path())


def batch_of(*texts: str) -> Batch:
    count = len(texts)
    return Batch(
        {
            "record_id": [f"r{at}" for at in range(count)],
            "source": ["s"] * count,
            "row": list(range(count)),
            "text": list(texts),
            "language": [""] * count,
            "gold": [None] * count,
            "source_id": [None] * count,
        }
    )


def clean(text: str, **fields: object) -> str:
    batch = batch_of(text)
    Normalise(**fields).apply(batch, WORK)
    return batch.texts[0]


def test_by_default_forms_are_composed_white_space_collapsed_and_controls_removed():
    assert clean("  cafe\u0301\t\u00a0noir\x00\x9f\r\n\u2003now ") == "café noir now"


def test_joiners_direction_marks_and_zero_width_spaces_stay():
    text = "می\u200cخواهم क्\u200dष \u200f(x) ไทย\u200bไทย 👩\u200d🌾"  # noqa: RUF001 -- Persian is what is tested
    assert clean(text) == text


def test_a_byte_order_mark_within_a_text_is_removed():
    assert clean("\ufeffone\ufeff two") == "one two"


def test_removing_a_control_character_does_not_leave_an_uncomposed_letter():
    assert clean("e\x00\u0301") == "é"


def test_nfkc_folds_what_nfc_keeps():
    assert clean("ﬁve Ｘ²") == "ﬁve Ｘ²"
    assert clean("ﬁve Ｘ²", unicode="NFKC") == "five X2"


def test_lines_are_kept_when_asked_and_a_paragraph_break_is_one_empty_line():
    assert clean(" a  b \r\n\n\n\tc\u2028d\n", whitespace="lines") == "a b\n\nc\nd"


def test_nothing_is_touched_when_all_is_switched_off():
    text = " e\u0301\x00\n <b>x</b> Ã© "
    assert clean(text, unicode="none", whitespace=False, control=False) == text


def test_mending_undoes_mojibake_and_leaves_quotes_ligatures_widths_and_entities():
    pytest.importorskip("ftfy", reason="comes with the extra labeling")
    assert clean("schÃ¶n Ñ‡Ð°Ñ\u0081", mend=True) == "schön час"
    kept = "“a” ﬁ Ｘ &amp; déjà"  # noqa: RUF001 -- full width is what is tested
    assert clean(kept, mend=True) == kept
    assert clean("\x1b[31mred\x1b[0m", mend=True) == "red"


def test_html_becomes_its_visible_text_and_text_without_markup_is_left_alone():
    pytest.importorskip("selectolax", reason="comes with the extra labeling")
    assert clean("<p>One &amp; two</p><script>x()</script><p>three</p>", html=True) == "One & two three"
    assert clean("<p>One</p><p>two<br>three</p>", html=True, whitespace="lines") == "One\ntwo\nthree"
    assert clean("if a < b & c > d", html=True) == "if a < b & c > d"


def test_what_is_empty_afterwards_is_dropped_and_ids_are_kept():
    batch = batch_of("x", " \x00\n", "", "y  z")
    Normalise().apply(batch, WORK)
    assert batch.columns["record_id"] == ["r0", "r3"]
    assert batch.texts == ["x", "y z"]
    assert [(gone.row, gone.reason, gone.stage, gone.record_id) for gone in batch.dropped] == [(1, "empty", "normalise", "r1"), (2, "empty", "normalise", "r2")]


def test_white_space_alone_is_empty_even_when_it_is_not_collapsed():
    batch = batch_of(" \n")
    Normalise(whitespace=False).apply(batch, WORK)
    assert len(batch) == 0


def test_an_unknown_form_and_an_unknown_field_are_refused():
    with pytest.raises(ValidationError, match="NFC"):
        Normalise(unicode="NFD")
    with pytest.raises(ValidationError, match="whitespce"):
        Normalise(whitespce=True)


def test_what_a_stage_does_is_told_and_what_it_needs():
    assert Normalise().in_words() == "normalise: no control characters, Unicode NFC, white space collapsed"
    assert Normalise(mend=True, html=True).needs() == ("package selectolax", "package ftfy")
    assert Normalise().needs() == ()


def test_the_digest_follows_the_fields():
    assert len({stage.digest(WORK) for stage in (Normalise(), Normalise(whitespace=True), Normalise(whitespace="lines"), Normalise(control=False))}) == 3


@settings(max_examples=examples(300), deadline=None)
@given(st.text(), st.sampled_from(["NFC", "NFKC"]), st.sampled_from([True, "lines"]))
def test_normalising_twice_changes_nothing_more(text, unicode, whitespace):
    batch = batch_of(text)
    stage = Normalise(unicode=unicode, whitespace=whitespace)
    stage.apply(batch, WORK)
    once = list(batch.texts)
    stage.apply(batch, WORK)
    assert batch.texts == once


@settings(max_examples=examples(300), deadline=None)
@given(st.text(min_size=1))
def test_no_control_character_is_left_and_no_other_is_lost(text):
    batch = batch_of(text)
    Normalise(unicode="none", whitespace=False).apply(batch, WORK)
    kept = "".join(character for character in text if (unicodedata.category(character) != "Cc" or character.isspace()) and character != "\ufeff")
    assert batch.texts == ([kept] if kept.strip() else [])
