"""Quality: each published rule at its threshold, choices, marks and cut lines."""

import pickle
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stack.pipelines.base import Batch, Work
from stack.pipelines.text import Language, Normalise, Quality, order_hint
from stack.pipelines.text.measures import Measures, repeated_n_grams, repeats, sentences
from stack.pipelines.text.rules import LINE_RULES, NAMES, RULES

WORK = Work(Path())
PROSE = """The river rose in the night and the people of the lower town were told to leave their homes with what they could carry.
By noon the water had reached the market, where traders have sold grain and fish since before there was a road to the coast.
Nobody was hurt. Teachers opened the school for families that had nowhere else to go, and the clinic sent two nurses to be near them.
"We have seen worse," said one of the older fishermen, "but it came faster this year than we thought it would." """


def batch_of(*texts: str, language: str = "") -> Batch:
    count = len(texts)
    return Batch(
        {
            "record_id": [f"r{at}" for at in range(count)],
            "source": ["s"] * count,
            "row": list(range(count)),
            "text": list(texts),
            "language": [language] * count,
            "gold": [None] * count,
            "source_id": [None] * count,
        }
    )


def fails(text: str, *rules: str, language: str = "", **fields: object) -> str:
    """The rules that the text fails, with commas between."""
    batch = batch_of(text, language=language)
    Quality(rules=rules or ("c4", "gopher", "fineweb"), mark=True, **fields).apply(batch, WORK)
    return batch.columns["quality_failed"][0]


def words(count: int, word: str = "word") -> str:
    """Different words of one length."""
    return " ".join(f"{word}{chr(97 + at // 676 % 26)}{chr(97 + at // 26 % 26)}{chr(97 + at % 26)}" for at in range(count))


def test_ordinary_prose_passes_all_sets():
    assert fails(PROSE.strip()) == ""


def test_the_first_failed_rule_is_the_reason_and_the_measure_its_detail():
    batch = batch_of(words(49), PROSE.strip())
    Quality(rules=("gopher",)).apply(batch, WORK)
    assert [(gone.record_id, gone.reason, gone.detail, gone.stage) for gone in batch.dropped] == [("r0", "gopher_word_count", "49", "quality")]
    assert batch.columns["record_id"] == ["r1"]


LINE = "A line of this length is long enough here."


@pytest.mark.parametrize(
    ("rule", "passes", "failing"),
    [
        ("gopher_word_count", words(50), words(49)),
        ("gopher_mean_word_length", "abc def", "ab def"),
        ("gopher_mean_word_length", "abcdefghij " * 2, "abcdefghijk abcdefghij"),
        ("gopher_hash_ratio", "# " + words(9), "#a " + words(8)),
        ("gopher_ellipsis_ratio", words(10) + "...", words(9) + "…"),
        ("gopher_bullet_lines", "\n".join(["• a"] * 9 + ["a"]), "- a\n• b"),
        ("gopher_ellipsis_lines", "\n".join(["a..."] * 3 + ["a"] * 7), "a…\nb\nc..."),
        ("gopher_alphabetic_words", "a b c d 5", "a b c 4 5"),
        ("gopher_stop_words", "The cat (and) dog", "the cat, the dog, together"),
        ("gopher_duplicate_lines", "\n".join([*"abcdefg", *"aaa"]), "\n".join([*"abcdef", *"aaaa"])),
        ("gopher_duplicate_line_chars", "\n".join([*"abcdefgh", *"aa"]), "\n".join([*"abcdefg", *"aaa"])),
        ("gopher_duplicate_paragraphs", "\n\n".join([*"abcdefg", *"aaa"]), "\n\n".join([*"abcdef", *"aaaa"])),
        ("gopher_duplicate_paragraph_chars", "\n\n".join([*"abcdefgh", *"aa"]), "\n\n".join([*"abcdefg", *"aaa"])),
        ("gopher_top_2_gram", "a b c d a b " + "efghij " * 1 + "klmnop qrstuv", "a b c a b d"),
        ("gopher_top_3_gram", "a b c d e f", "a b c d a b c"),
        ("gopher_top_4_gram", "a b c d e a b c", "a b c d a b c d"),
        ("gopher_duplicate_5_gram", "a b c d e f " * 1, "a b c d e a b c d e"),
        ("gopher_duplicate_10_gram", "a b c d e f g h i x a b c d e f g h i", "a b c d e f g h i j a b c d e f g h i j"),
        ("fineweb_line_punct", "\n".join(["One."] + ["one"] * 7), "\n".join(["One."] + ["one"] * 8)),
        ("fineweb_duplicate_line_chars", "\n".join([*"abcdefghijk", "a"]), "\n".join([*"abcdefghi", "a"])),
        ("fineweb_short_lines", "\n".join(["x" * 29] * 2 + ["x" * 30]), "\n".join(["x" * 29] * 3 + ["x" * 30])),
        ("fineweb_new_lines", "a b c d e f g h i\nj\nk\nl", "a\nb"),
        ("c4_lorem_ipsum", "lorem dolor", "See Lorem Ipsum dolor"),
        ("c4_curly_bracket", "f(x)", "f() { x }"),
        ("c4_sentences", "One. Two! Three?", "One. Two!"),
    ],
)
def test_a_rule_holds_at_its_published_threshold(rule, passes, failing):
    assert fails(passes, rule) == ""
    assert fails(failing, rule) == rule


def test_every_rule_of_a_table_is_tried_above():
    tried = {
        argument.values[0] if hasattr(argument, "values") else argument[0] for argument in test_a_rule_holds_at_its_published_threshold.pytestmark[0].args[1]
    }
    sizes = {"gopher_duplicate_6_gram", "gopher_duplicate_7_gram", "gopher_duplicate_8_gram", "gopher_duplicate_9_gram"}
    assert set(RULES) | {"c4_sentences"} == tried | sizes


@pytest.mark.parametrize("size", range(5, 11))
def test_a_repeated_run_of_words_fails_its_own_size_and_shorter_ones(size):
    run = " ".join("abcdefghij"[:size])
    named = fails(f"{run} {run}", "gopher").split(",")
    assert [name for name in named if "duplicate" in name and name.endswith("_gram")] == [f"gopher_duplicate_{n}_gram" for n in range(5, size + 1)]


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("c4_line_punctuation", "this line ends in nothing at all"),
        ("c4_line_punctuation", "this line ends in three dots..."),
        ("c4_line_words", "Only four words here."),
        ("c4_javascript", "Please switch JavaScript on to go on."),
        ("c4_policy", "By reading this you accept our Privacy Policy."),
        ("c4_long_word", "Here is one word of a thousand letters: " + "x" * 1001 + "."),
    ],
)
def test_a_line_that_c4_removes_does_not_count_among_the_sentences(rule, line):
    good = "Here are five good words. And here are some more of them."
    assert fails(f"{good}\n{line}", "c4_sentences", rule) == "c4_sentences"
    assert fails(f"{good}\nThis line is a good one as well.", "c4_sentences", rule) == ""


def test_lines_are_cut_when_asked_as_c4_does():
    batch = batch_of(f"{LINE}\nHome\n\n{LINE}\nEnable javascript to read on here.", "menu\nhome", f"{LINE}\n\n{LINE}")
    Quality(rules=("c4", "-c4_sentences"), cut_lines=True).apply(batch, WORK)
    assert batch.texts == [f"{LINE}\n{LINE}", f"{LINE}\n\n{LINE}"]
    assert [(gone.row, gone.reason) for gone in batch.dropped] == [(1, "c4_no_line_left")]


def test_marking_keeps_all_records_and_names_every_failed_rule():
    batch = batch_of("{ Lorem ipsum }", PROSE.strip())
    Quality(mark=True).apply(batch, WORK)
    named = batch.columns["quality_failed"]
    assert named[0].split(",")[:4] == ["c4_sentences", "c4_lorem_ipsum", "c4_curly_bracket", "gopher_word_count"]
    assert named[1] == ""
    assert batch.dropped == []


def test_thresholds_can_be_set():
    assert fails("just a few words", "gopher_word_count", overrides={"gopher_word_count": (2, 5)}) == ""
    assert fails("a b c d e f", "gopher_word_count", overrides={"gopher_word_count": (2, 5)}) == "gopher_word_count"
    assert fails("One.", "c4_sentences", overrides={"c4_sentences": 1}) == ""


def test_a_set_can_be_taken_without_one_of_its_rules():
    assert "gopher_word_count" not in fails("short", "gopher", "-gopher_word_count").split(",")
    assert "gopher_stop_words" in fails("short", "gopher", "-gopher_word_count").split(",")


def test_rules_on_words_say_nothing_of_thai_or_chinese_and_stop_words_only_speak_of_english():
    assert fails("ตลาดเปิดตั้งแต่เช้าตรู่ และลูกสาวของฉันนั่งรถเมล์ไปโรงเรียนทุกวัน", "gopher", "c4", "fineweb_line_punct") == ""
    assert fails("市场早上很早就开门。我的女儿每天坐公共汽车去上学。昨晚下了很大的雨。", "gopher", "c4") == ""
    assert fails("Soko hufunguliwa mapema asubuhi", "gopher_stop_words", language="sw") == ""
    assert fails("Soko hufunguliwa mapema asubuhi", "gopher_stop_words", language="und") == "gopher_stop_words"
    assert fails("No such words here", "gopher_stop_words", language="en-GB") == "gopher_stop_words"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One.", 1),
        ("One. Two", 2),
        ("Is it 3.5 kilos? Yes!", 2),
        ('He said "go." Then he left.', 2),
        ("आज बिजली नहीं है। कल आएगी।", 2),
        ("كم سعره؟ شكرا.", 2),
        ("ዛሬ መብራት የለም። ነገ ይመጣል።", 2),
        ("早上好。你好吗？很好！", 3),  # noqa: RUF001 -- full-width marks are what is tested
        ("   ", 0),
    ],
)
def test_sentences_are_counted_in_many_scripts(text, count):
    assert sentences(text) == count


def test_an_n_gram_that_occurs_once_is_no_repetition():
    assert set(repeated_n_grams(list("abcdef")).values()) == {0.0}


def test_a_word_in_several_repeated_runs_counts_once():
    assert repeated_n_grams(["x"] * 20)[5] == pytest.approx(19 / 20)
    assert repeated_n_grams(["x"] * 20)[2] == 1.0


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_repeated_n_grams_are_what_a_count_over_all_places_gives(words_):
    found = repeated_n_grams(words_)
    for size in range(5, 11):
        seen, covered = set(), set()
        for at in range(len(words_) - size + 1):
            gram = tuple(words_[at : at + size])
            if gram in seen:
                covered.update(range(at, at + size))
            seen.add(gram)
        assert found[size] == pytest.approx(len(covered) / max(1, len(words_)))
    for size in range(2, 5):
        grams = [tuple(words_[at : at + size]) for at in range(len(words_) - size + 1)]
        most = max(map(grams.count, grams), default=0)
        assert found[size] == pytest.approx(min(1, most * size / len(words_)) if most > 1 else 0)


def test_shares_of_repeats_are_of_second_and_later_ones():
    assert repeats(["aa", "b", "aa", "aa"]) == (0.5, pytest.approx(4 / 7))
    assert repeats(["aa"]) == (0, 0)


@settings(max_examples=examples(200), deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_judged_without_a_fault_and_dropped_if_and_only_if_it_would_be_marked(text):
    named = fails(text)
    batch = batch_of(text)
    Quality().apply(batch, WORK)
    assert [gone.reason for gone in batch.dropped] == named.split(",")[:1] * bool(named)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rules": ("gofer",)}, "'gofer' is neither a set"),
        ({"rules": ()}, "no rule is left"),
        ({"rules": ("c4_policy",)}, "c4_policy judge lines"),
        ({"rules": ("gopher",), "cut_lines": True}, "no rule on lines is chosen"),
        ({"overrides": {"gopher_words": 1}}, "'gopher_words' is not among the chosen rules"),
        ({"overrides": {"gopher_word_count": 5}}, r"takes a pair \[lowest, highest\]"),
        ({"overrides": {"c4_sentences": (1, 2)}}, "takes one number"),
        ({"overrides": {"gopher_word_count": (9, 5)}}, "above the highest"),
        ({"overrides": {"c4_policy": 1}}, "c4_policy has no threshold"),
    ],
)
def test_bad_fields_are_refused_in_words(fields, says):
    with pytest.raises(ValidationError, match=says):
        Quality(**fields)


def test_rules_on_lines_after_lines_were_joined_are_pointed_out():
    assert "set normalise.whitespace to lines" in (order_hint([Normalise(), Language(), Quality()]) or "")
    assert order_hint([Normalise(whitespace="lines"), Quality()]) is None
    assert order_hint([Quality(), Normalise()]) is None
    assert order_hint([Normalise(), Quality(rules=("gopher_word_count",))]) is None


def test_every_published_threshold_is_told_with_its_rule():
    assert RULES["gopher_word_count"].threshold == (50, 100_000)
    assert RULES["fineweb_duplicate_line_chars"].threshold == 0.1
    assert LINE_RULES["c4_line_words"].threshold == 5
    assert len(set(NAMES)) == len(NAMES)


def test_a_stage_that_has_worked_can_still_be_sent_to_another_process_and_its_digest_follows_its_fields():
    stage = Quality(overrides={"gopher_word_count": (5, 10)})
    stage.apply(batch_of("a"), WORK)
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert stage.digest(WORK) != Quality().digest(WORK)


def test_a_text_of_nothing_measures_as_nothing():
    empty = Measures("")
    assert (empty.word_count(), empty.mean_word_length(), empty.lines_starting(("-",)), empty.repeated_lines()) == (0, None, 0, 0)
