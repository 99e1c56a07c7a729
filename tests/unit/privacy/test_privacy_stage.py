import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from stack.pipelines.base import Batch, Work
from stack.pipelines.errors import PipelineError
from stack.pipelines.pii import Pii
from stack.privacy import create_key, restore

TEXTS = ["no data here", "ann@example.org, +1 212 456 7890", "My name is Ann Lee", "[EMAIL~x] typed by someone"]


def batch() -> Batch:
    rows = range(len(TEXTS))
    return Batch({"record_id": [f"r{row}" for row in rows], "source": ["notes"] * len(TEXTS), "row": list(rows), "text": list(TEXTS)})


def test_texts_are_masked_counted_and_logged_without_values(tmp_path: Path) -> None:
    records = batch()
    Pii().apply(records, Work(tmp_path))
    assert records.texts == [TEXTS[0], "[EMAIL], [PHONE]", "My name is [NAME]", TEXTS[3]]
    assert records.columns["pii"] == [0, 2, 1, 0]
    assert records.notes["pii_spans"][1] == {"record_id": "r1", "start": 9, "end": 16, "kind": "phone", "country": "US", "how": "mask"}
    assert len(records.notes["pii_spans"]) == 3
    assert not any(value in json.dumps(records.notes) for value in ("ann@", "212", "Ann"))


def test_records_with_personal_data_are_left_out_and_the_reason_counts_kinds(tmp_path: Path) -> None:
    records = batch()
    Pii(drop=True).apply(records, Work(tmp_path))
    assert records.columns["record_id"] == ["r0", "r3"]
    assert [(left.record_id, left.reason, left.detail, left.stage) for left in records.dropped] == [
        ("r1", "personal_data", "email 1, phone 1", "pii"),
        ("r2", "personal_data", "name 1", "pii"),
    ]


def test_less_certain_spans_stay_below_the_threshold_and_other_kinds_are_left(tmp_path: Path) -> None:
    records = batch()
    Pii(kinds=("name", "email"), min_confidence=0.8).apply(records, Work(tmp_path))
    assert records.texts[1:3] == ["[EMAIL], +1 212 456 7890", TEXTS[2]]


def test_reversible_texts_come_back_with_the_key(tmp_path: Path) -> None:
    key = create_key(tmp_path / "pii.key")
    records = batch()
    Pii(how="reversible", key_file=Path("pii.key")).apply(records, Work(tmp_path))
    assert "ann@" not in records.texts[1]
    assert [restore(text, key) for text in records.texts] == TEXTS
    assert records.columns["pii"] == [0, 2, 1, 0]


def test_the_cut_into_batches_changes_nothing(tmp_path: Path) -> None:
    create_key(tmp_path / "pii.key")
    stage, whole = Pii(how="pseudonym", key_file=Path("pii.key")), batch()
    stage.apply(whole, Work(tmp_path))
    parts = [Batch({name: values[row : row + 1] for name, values in batch().columns.items()}) for row in range(len(TEXTS))]
    for part in parts:
        stage.apply(part, Work(tmp_path))
    assert [text for part in parts for text in part.texts] == whole.texts
    assert [note for part in parts for note in part.notes["pii_spans"]] == whole.notes["pii_spans"]


def test_the_digest_follows_the_key_and_not_its_place(tmp_path: Path) -> None:
    create_key(tmp_path / "a.key")
    create_key(tmp_path / "b.key")
    os.link(tmp_path / "a.key", tmp_path / "c.key")
    work = Work(tmp_path)
    a, b, c = (Pii(how="pseudonym", key_file=Path(f"{name}.key")).digest(work) for name in "abc")
    assert a == c != b
    assert Pii().digest(work) != Pii(min_confidence=0.6).digest(work)


def test_a_missing_key_names_the_field_and_the_file(tmp_path: Path) -> None:
    stage = Pii(how="pseudonym", key_file=Path("none.key"))
    assert "key file none.key" in stage.needs()
    for use in (lambda: stage.digest(Work(tmp_path)), lambda: stage.apply(batch(), Work(tmp_path))):
        with pytest.raises(PipelineError, match=r"`key_file`: .*none\.key: the key cannot be read"):
            use()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kinds": ["e-mail"]}, "unknown kind 'e-mail'"),
        ({"countries": ["UK"]}, "unknown country 'UK'"),
        ({"how": "reversible"}, "needs `key_file`"),
        ({"key_file": "pii.key"}, "not used by `how: mask`"),
        ({"how": "pseudonym", "key_file": "pii.key", "drop": True}, "`drop` leaves records out"),
    ],
    ids=["kind", "country", "no key", "needless key", "drop"],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Pii.model_validate(fields)


def test_it_says_what_it_does() -> None:
    assert Pii().in_words() == "mask all kinds of personal data"
    assert Pii(kinds=("email", "card"), countries=("ID",), drop=True).in_words() == "drop records with email, card of ID"
