import json
import re
import stat
from dataclasses import asdict
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.privacy import Key, Mask, PrivacyError, Pseudonym, Reversible, Span, create_key, find, read_key, redact, restore

KEY, OTHER = Key(bytes(range(64))), Key(bytes(64))
TEXT = "Ann: ann@example.org or +1 212 456 7890, card 4111 1111 1111 1111."


def test_a_mask_leaves_nothing_of_the_value_and_the_log_tells_places_in_the_new_text() -> None:
    text, log = redact(TEXT, find(TEXT), Mask())
    assert text == "Ann: [EMAIL] or [PHONE], card [CARD]."
    assert [text[at.start : at.end] for at in log] == ["[EMAIL]", "[PHONE]", "[CARD]"]
    assert asdict(log[1]) == {"start": 16, "end": 23, "kind": "phone", "country": "US", "how": "mask"}


@pytest.mark.parametrize("how", [Mask(), Pseudonym(KEY), Reversible(KEY)], ids=["mask", "pseudonym", "reversible"])
def test_neither_text_nor_log_holds_the_value_or_the_key(how: Mask | Pseudonym | Reversible) -> None:
    text, log = redact(TEXT, find(TEXT), how)
    told = text + json.dumps([asdict(at) for at in log]) + repr(how)
    for secret in ("ann@", "212", "4111", KEY.secret.hex(), repr(KEY.secret)):
        assert secret not in told


def test_one_value_has_one_pseudonym_however_it_is_written_and_another_under_another_key() -> None:
    def tokens(text: str, key: Key, countries: tuple[str, ...] | None = None) -> list[str]:
        return re.findall(r"\[[A-Z_]+:[0-9a-f]{12}\]", redact(text, find(text, countries=countries), Pseudonym(key))[0])

    assert len(set(tokens("ann@example.org, ANN@example.org", KEY))) == 1
    assert len(set(tokens("4111111111111111, 4111-1111-1111-1111, 4111\u00a01111\u00a01111\u00a0111\u0661", KEY))) == 1
    assert len(set(tokens("call 0812-3456-7890; +62 812 3456 7890", KEY, ("ID",)))) == 1
    assert tokens("ann@example.org", KEY) != tokens("ann@example.org", OTHER)
    assert tokens("ann@example.org", KEY) != tokens("bob@example.org", KEY)


def test_pseudonyms_are_hmac_sha256_of_kind_and_value() -> None:
    """Worked out here with `openssl`-like primitives alone."""
    import hashlib
    import hmac

    subkey = hmac.new(KEY.secret, b"stackproof privacy pseudonym", hashlib.sha512).digest()
    expected = hmac.new(subkey, b"email\0ann@example.org", hashlib.sha256).hexdigest()[:12]
    assert redact("ann@example.org", find("ann@example.org"), Pseudonym(KEY))[0] == f"[EMAIL:{expected}]"


PIECES = st.sampled_from(
    ["ann@example.org", "[EMAIL~", "[EMAIL~abc]", "]", "~", "4111111111111111", " ", "é", "\ud800", "[CARD~x_-]", "\u200e", "My name is Ann", "[EMAIL]"]
)


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(PIECES, max_size=10).map("".join))
def test_the_key_restores_any_text_exactly(text: str) -> None:
    hidden, _ = redact(text, find(text), Reversible(KEY))
    assert restore(hidden, KEY) == text
    assert "ann@example" not in hidden


def test_restoring_with_another_key_or_after_a_change_is_refused() -> None:
    hidden, _ = redact(TEXT, find(TEXT), Reversible(KEY))
    with pytest.raises(PrivacyError, match=f"character 5 was changed, or made with another key .*{OTHER.fingerprint}"):
        restore(hidden, OTHER)
    with pytest.raises(PrivacyError, match="was changed"):
        restore(hidden.replace("[EMAIL~", "[CARD~"), KEY)


def test_spans_that_overlap_or_leave_the_text_are_refused() -> None:
    for spans in ([Span(0, 3, "name"), Span(2, 4, "name")], [Span(0, 99, "name")], [Span(2, 2, "name")]):
        with pytest.raises(ValueError, match="overlaps"):
            redact("Ann Lee", spans, Mask())


def test_a_new_key_file_is_its_owners_alone_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "pii.key"
    key = create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path) == key
    assert key.secret.hex() not in repr(key) + str(key) + key.fingerprint
    with pytest.raises(PrivacyError, match="exists already"):
        create_key(path)
    assert read_key(path) == key


@pytest.mark.parametrize(
    ("mode", "content", "said"),
    [(0o640, KEY.secret.hex(), "chmod 600"), (0o600, "abc", "not a key"), (0o600, KEY.secret.hex()[:-2], "not a key"), (0o600, "é", "not a key")],
    ids=["others may read it", "no hexadecimal", "too short", "not ASCII"],
)
def test_a_key_that_cannot_be_used_is_refused_with_the_mend_and_without_its_content(tmp_path: Path, mode: int, content: str, said: str) -> None:
    path = tmp_path / "pii.key"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    with pytest.raises(PrivacyError, match=said) as refused:
        read_key(path)
    assert content not in str(refused.value)
    with pytest.raises(PrivacyError, match="cannot be read"):
        read_key(tmp_path / "missing.key")
