"""Language: the batch identifier against py3langid, tags, and what the stage keeps."""

import importlib.metadata
import importlib.util
import json
import pickle
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stack.pipelines.base import Batch, Work
from stack.pipelines.text import Language
from stack.pipelines.text.identifier import identifier
from stack.pipelines.text.tags import LABELS, matches

needs_model = pytest.mark.skipif(importlib.util.find_spec("py3langid") is None, reason="py3langid comes with the extra labeling")
WORK = Work(Path())
SENTENCES = Path(__file__).parents[3] / "benchmarks" / "data" / "language_sentences.jsonl"
FEW = ("sw", "ar", "es", "pt", "id")
TOLERANCE = 2e-4
"""A confidence has four decimals; the sums behind it are taken in another order than py3langid's."""


def batch_of(texts: list[str], languages: list[str] | None = None) -> Batch:
    count = len(texts)
    return Batch(
        {
            "record_id": [f"r{at}" for at in range(count)],
            "source": ["s"] * count,
            "row": list(range(count)),
            "text": texts,
            "language": languages or [""] * count,
            "gold": [None] * count,
            "source_id": [None] * count,
        }
    )


@pytest.fixture(scope="module")
def everyday() -> list[tuple[str, str]]:
    return [(row["language"], row["text"]) for row in map(json.loads, SENTENCES.read_text(encoding="utf-8").splitlines())]


@pytest.fixture(scope="module")
def library():
    """py3langid's own identifiers: over all languages, and over a few."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    everything = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    few = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    few.set_languages(list(FEW))
    return {(): everything, FEW: few}


def assert_same(text: str, guess: tuple[str, float] | None, theirs) -> None:
    label, confidence = theirs.classify(text)
    if guess is None:
        alike = 1 / len(theirs.nb_classes)  # nothing was seen; a language in two scripts has two shares
        assert confidence == pytest.approx(alike) or confidence == pytest.approx(2 * alike)
        return
    assert guess[1] == pytest.approx(confidence, abs=TOLERANCE)
    shares = dict(theirs.rank(text))
    assert shares[guess[0] if guess[0] != "ki" else "kik"] >= shares[label] - TOLERANCE


@needs_model
@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.text(max_size=60), max_size=4), st.sampled_from([(), FEW]))
def test_a_batch_gives_what_py3langid_gives_for_each_text(library, texts, languages):
    for text, guess in zip(texts, identifier(languages).classify(texts), strict=True):
        assert_same(text, guess, library[languages])


@needs_model
def test_real_sentences_in_one_batch_give_what_py3langid_gives_for_each(library, everyday):
    texts = [text for _, text in everyday] + [text.upper() for _, text in everyday] + [" ".join(text for _, text in everyday)]
    for text, guess in zip(texts, identifier(()).classify(texts), strict=True):
        assert guess is not None
        assert_same(text, guess, library[()])


@needs_model
def test_a_result_does_not_depend_on_the_rest_of_the_batch(everyday):
    texts = [text for _, text in everyday] * 4
    together = identifier(FEW).classify(texts)
    assert together == [identifier(FEW).classify([text])[0] for text in texts]


@needs_model
def test_the_labels_are_those_of_the_installed_model(library):
    assert set(library[()].labels) == LABELS
    # Another model gives other answers: raise Language.VERSION with the pin, so that shards are made again.
    assert importlib.metadata.version("py3langid") == "0.4.0"
    assert Language.VERSION == 1


@needs_model
def test_accuracy_on_the_languages_of_partner_countries_has_a_floor(everyday):
    candidates = tuple(dict.fromkeys(language for language, _ in everyday))
    assert len(candidates) >= 16
    for languages in ((), candidates):
        answers = [tag for tag, _ in Language(languages=languages).guess([text for _, text in everyday])]
        hits = [language == answer for (language, _), answer in zip(everyday, answers, strict=True)]
        assert sum(hits) / len(hits) >= 0.95
        for language in candidates:
            of_one = [hit for (said, _), hit in zip(everyday, hits, strict=True) if said == language]
            assert sum(of_one) / len(of_one) >= 0.75, language


@needs_model
def test_only_what_the_source_did_not_tell_is_filled_in():
    batch = batch_of(["Asante kwa msaada wako, tutaonana kesho.", "Asante kwa msaada wako."], ["", "fr"])
    Language(languages=("sw", "fr")).apply(batch, WORK)
    assert batch.columns["language"] == ["sw", "fr"]
    confidence = batch.columns["language_confidence"]
    assert confidence[0] > 0.9
    assert confidence[1] is None


@needs_model
def test_overwrite_asks_the_model_for_all():
    batch = batch_of(["Asante kwa msaada wako, tutaonana kesho."], ["fr"])
    Language(languages=("sw", "fr"), overwrite=True).apply(batch, WORK)
    assert batch.columns["language"] == ["sw"]


@needs_model
def test_records_in_other_languages_are_dropped_with_their_tag():
    batch = batch_of(["Gracias por tu ayuda, nos vemos mañana.", "Obrigado pela ajuda, até amanhã.", "x"], ["", "", "pt-AO"])
    Language(languages=("es", "pt-BR"), keep=("pt",)).apply(batch, WORK)
    assert batch.columns["language"] == ["pt-BR", "pt-AO"]
    assert [(gone.row, gone.reason, gone.detail, gone.stage) for gone in batch.dropped] == [(0, "other_language", "es", "language")]


@needs_model
def test_tags_come_back_as_they_were_written():
    batch = batch_of(["Magkano ang isang kilo ng bigas dito?"])
    Language(languages=("fil", "en-GB")).apply(batch, WORK)
    assert batch.columns["language"] == ["fil"]


@needs_model
@pytest.mark.parametrize("text", ["", "12 345 - 67 %", "🌾🌾🌾"])
def test_a_text_without_a_letter_is_undetermined(text):
    assert Language(languages=("en", "fr")).guess([text]) == [("und", 0.0)]


@needs_model
def test_what_is_not_sure_enough_is_undetermined_and_can_be_dropped():
    batch = batch_of(["no", "Le marché ouvre tôt le matin et la route est inondée."])
    Language(languages=("es", "pt", "en", "fr"), min_confidence=0.9, keep=("fr",)).apply(batch, WORK)
    assert batch.columns["language"] == ["fr"]
    assert [(gone.row, gone.detail) for gone in batch.dropped] == [(0, "und")]


@needs_model
def test_only_the_beginning_of_a_text_is_looked_at():
    text = "The market opens early in the morning. " * 3 + "Обычно рынок открывается очень рано утром. " * 50
    assert Language(languages=("en", "ru"), max_chars=100).guess([text])[0][0] == "en"
    assert Language(languages=("en", "ru")).guess([text])[0][0] == "ru"


@needs_model
def test_an_empty_batch_gets_its_column():
    batch = batch_of([])
    Language().apply(batch, WORK)
    assert batch.columns["language_confidence"] == []


@needs_model
def test_a_stage_that_has_worked_can_still_be_sent_to_another_process():
    stage = Language(languages=("en", "fr"))
    stage.guess(["bonjour"])
    assert pickle.loads(pickle.dumps(stage)) == stage


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"languages": ("english",)}, "'english' is not a language tag"),
        ({"languages": ("su",)}, "'su' is not among the languages that can be told"),
        ({"languages": ("tl", "fil")}, "'tl' and 'fil' cannot be told apart"),
        ({"languages": ("pt", "pt-BR")}, "cannot be told apart"),
        ({"keep": ("Deutsch",)}, "'Deutsch' is not a language tag"),
        ({"min_confidence": 1.2}, "less than or equal to 1"),
    ],
)
def test_bad_fields_are_refused_in_words(fields, says):
    with pytest.raises(ValidationError, match=says):
        Language(**fields)


def test_a_language_range_matches_by_subtags():
    assert matches("pt-BR", ["pt"])
    assert matches("PT-br", ["pt-BR"])
    assert not matches("pt", ["pt-BR"])
    assert not matches("ptx", ["pt"])


def test_what_it_does_is_told():
    assert Language(languages=("sw", "en"), keep=("sw",)).in_words() == "tell the language, among sw, en; keep sw"
    assert Language().needs() == ("package py3langid",)
