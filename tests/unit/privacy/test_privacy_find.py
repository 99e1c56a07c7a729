# ruff: noqa: RUF001 -- letters of many scripts are meant here
import time
import tracemalloc
from itertools import pairwise

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.privacy import KINDS, Span, find, find_all


def values(text: str, kinds: tuple[str, ...] | None = None, countries: tuple[str, ...] | None = None) -> list[tuple[str, str, str]]:
    return [(span.kind, span.country, text[span.start : span.end]) for span in find(text, kinds, countries)]


# Numbers that the issuers' own pages and standards give as examples.
@pytest.mark.parametrize(
    ("text", "kind", "country", "value"),
    [
        ("Write to jane.doe+list@mail.example.co.uk.", "email", "", "jane.doe+list@mail.example.co.uk"),
        ("邮箱：li.na@example.cn。", "email", "", "li.na@example.cn"),
        ("почта: иван@пример.рф", "email", "", "иван@пример.рф"),
        ("Call +62 812-3456-7890 now", "phone", "ID", "+62 812-3456-7890"),
        ("Call (212) 456-7890 now", "phone", "", "(212) 456-7890"),
        ("Telp 0812 3456 7890", "phone", "", "0812 3456 7890"),
        ("هاتف: ٠١٠٠١٢٣٤٥٦٧", "phone", "", "٠١٠٠١٢٣٤٥٦٧"),
        ("Card 4111 1111 1111 1111, thanks", "card", "", "4111 1111 1111 1111"),
        ("Amex 3782-822463-10005", "card", "", "3782-822463-10005"),
        ("Card 4111\u00a01111\u20111111\u00a01111".replace("\u2011", "\u202f"), "card", "", "4111\u00a01111\u202f1111\u00a01111"),
        ("IBAN GB82 WEST 1234 5698 7654 32 PLEASE", "iban", "GB", "GB82 WEST 1234 5698 7654 32"),
        ("an DE89370400440532013000.", "iban", "DE", "DE89370400440532013000"),
        ("NHS number 943 476 5919", "national_id", "GB", "943 476 5919"),
        ("BSN: 111222333", "national_id", "NL", "111222333"),
        ("CPF 529.982.247-25", "national_id", "BR", "529.982.247-25"),
        ("PESEL 44051401359", "national_id", "PL", "44051401359"),
        ("身份证11010519491231002X", "national_id", "CN", "11010519491231002X"),
        ("DNI 12345678Z", "national_id", "ES", "12345678Z"),
        ("Steuer-ID 36574261809", "national_id", "DE", "36574261809"),
        ("AHV 756.9217.0769.85", "national_id", "CH", "756.9217.0769.85"),
        ("CF RSSMRA85T10A562S", "national_id", "IT", "RSSMRA85T10A562S"),
        ("HETU 131052-308T", "national_id", "FI", "131052-308T"),
        ("host 192.168.10.254 is down", "ip", "", "192.168.10.254"),
        ("host 2001:db8::8a2e:370:7334 is down", "ip", "", "2001:db8::8a2e:370:7334"),
        ("dev 00:1b:44:11:3a:b7 up", "mac", "", "00:1b:44:11:3a:b7"),
        ("from ::ffff:192.168.1.1 on", "ip", "", "::ffff:192.168.1.1"),
        ("7,4111111111111111,5", "card", "", "4111111111111111"),
        ("4111-1111-1111-1111/12/25", "card", "", "4111-1111-1111-1111"),
        ("phone,08123456789,ann", "phone", "", "08123456789"),
        ("Dear Mr.Smith, hello", "name", "", "Smith"),
        ("postgres://u:p@ss@db/x", "url_user", "", "u:p@ss"),
        ("git clone https://bot:s3cret@example.org/x.git", "url_user", "", "bot:s3cret"),
        ("Passport no. C1951761, valid", "passport", "", "C1951761"),
        ("Born on 3 May 1987 in Kisumu", "birth_date", "", "3 May 1987"),
        ("My name is Wanjiru Kamau and I live here", "name", "", "Wanjiru Kamau"),
        ("nama saya Budi, dari Medan", "name", "", "Budi"),
        ("Меня зовут Иван Петров.", "name", "", "Иван Петров"),
        ("मेरा नाम राहुल शर्मा है।", "name", "", "राहुल शर्मा"),
        ("我叫王小明，你好", "name", "", "王小明"),
        ("Dr. J. P. van der Berg arrived", "name", "", "J. P. van der Berg"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() and len(value) < 20 else "",
)
def test_a_value_is_found_where_it_stands_and_nothing_else(text: str, kind: str, country: str, value: str) -> None:
    assert values(text) == [(kind, country, value)]


@pytest.mark.parametrize(
    "text",
    [
        "Card 4111 1111 1111 1112 has a wrong check digit",
        "an DE88370400440532013000 with a wrong checksum",
        "CPF 529.982.247-26",
        "Version 10.2.14.3 and kernel 5.4.0.12",
        "999.300.1.2 has parts above 255",
        "On 2024-05-01 14:30:12, price $1,234,567.89, at -6.208763, 106.845599",
        "Harga Rp 12.345.678,00",
        "ISBN 978-3-16-148410-0",
        "a 123456789 b 12345678901",
        "rated 5 @ 3 pm by @someone",
        "std::vector<int>::size() and a::b",
        "uuid 550e8400-e29b-41d4-a716-446655440000",
        "The file name is Report and Mi Sedap is food; Si Doel too",
        "Yields: 12345 23456 34567 45678 56789",
        "timestamp=1700000000000",
        "Postcode 02901-4709, room 903",
    ],
    ids=lambda text: text[:12],
)
def test_what_only_looks_like_a_value_is_left(text: str) -> None:
    assert values(text) == []


def test_a_bare_number_needs_the_word_that_names_it() -> None:
    assert values("TFN 123 456 782", ("national_id",)) == [("national_id", "AU", "123 456 782")]
    assert values("sum 123 456 782", ("national_id",)) == []


def test_countries_limit_national_numbers_and_the_plans_of_phones() -> None:
    text = "CPF 529.982.247-25, ring 0812 3456 7890"
    assert values(text, countries=("BR",)) == [("national_id", "BR", "529.982.247-25")]
    assert values(text, countries=("ID",)) == [("phone", "ID", "0812 3456 7890")]
    assert values("ring +1 212 456 7890", countries=("ID",)) == [("phone", "US", "+1 212 456 7890")], "a country code needs no plan"


def test_invisible_marks_do_not_hide_a_number_and_places_are_of_the_text_as_given() -> None:
    text = "card \u200e4111\u200b111111111111\u200f."
    assert values(text, ("card",)) == [("card", "", "4111\u200b111111111111")]


def test_addresses_in_a_row_are_each_found_whole() -> None:
    assert [value for _, _, value in values("a@x.org~b@x.org,c@x.org;<d@x.org>")] == ["a@x.org", "b@x.org", "c@x.org", "d@x.org"]


def test_the_more_certain_of_overlapping_spans_stands() -> None:
    assert values("https://ann:pw@example.org/") == [("url_user", "", "ann:pw")]
    kept = find("Dr. Ann 4111111111111111 x")
    assert [span.kind for span in kept] == ["name", "card"]
    assert all(a.end <= b.start for a, b in pairwise(kept))


@pytest.mark.parametrize(("kinds", "countries", "named"), [(("emails",), None, "emails"), (None, ("UK",), "UK"), (None, ("id",), "id")])
def test_an_unknown_kind_or_country_is_named(kinds: tuple[str, ...] | None, countries: tuple[str, ...] | None, named: str) -> None:
    with pytest.raises(ValueError, match=f"'{named}'"):
        find("x", kinds, countries)


PIECES = st.sampled_from(
    ["ann@example.org", " ", "+62 812-3456-7890", "4111 1111 1111 1111", "\u200e", "é", "ı", "İ", "\x00", "\n", "My name is Ann Lee",
     "DE89370400440532013000", "٠",
     "1", "-", "756.9217.0769.85", "192.168.0.1", "www", ":", "🙂", "我叫李娜。", "@", ".", "\ud800"]
)  # fmt: skip
TEXTS = st.lists(st.lists(PIECES, max_size=12).map("".join), max_size=12)


@settings(max_examples=examples(150), deadline=None)
@given(TEXTS)
def test_texts_found_together_give_what_each_gives_alone(texts: list[str]) -> None:
    together = find_all(texts)
    assert together == [find(text) for text in texts]
    for text, spans in zip(texts, together, strict=True):
        last = 0
        for span in spans:
            assert last <= span.start < span.end <= len(text)
            assert span.kind in KINDS
            last = span.end


@pytest.mark.parametrize("piece", ["1 ", "AB12 ", "://a", "a.a@", "::", "-ab", "+(0) ", "Mr ", "name: ", "1234567890"])
def test_hostile_texts_take_time_in_proportion_to_their_length(piece: str) -> None:
    """A quadratic search would need 64 times as long; the bound leaves room for a busy machine."""

    def seconds(characters: int) -> float:
        spent = []
        for _ in range(2):
            start = time.process_time()
            find(piece * (characters // len(piece)))
            spent.append(time.process_time() - start)
        return min(spent)

    assert seconds(16_000) < 24 * max(seconds(2000), 0.01)


def test_memory_stays_near_that_of_a_chunk() -> None:
    texts = ["the quick brown fox jumps over the lazy dog é " * 4] * 5000
    tracemalloc.start()
    find_all(texts, ("email", "card"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000, "of 0.9 MB of texts: the copies of one chunk, and a list a text"


def test_only_one_letter_grows_when_made_small() -> None:
    """What the search for cue words relies on."""
    assert [letter for letter in map(chr, range(0x110000)) if len(letter.lower()) != 1] == ["İ"]


def test_spans_are_values() -> None:
    assert find("a@example.org") == [Span(0, 13, "email", "", "address", 0.97)]
