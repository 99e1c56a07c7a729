"""The language of each record, and records in other languages left out."""

import re
from typing import Literal

from pydantic import Field, field_validator

from stack.pipelines.base import Batch, RecordStage, Work
from stack.pipelines.text.identifier import Guess, identifier
from stack.pipelines.text.tags import UNDETERMINED, check_tags, matches

_LETTER = re.compile(r"[^\W\d_]")


class Language(RecordStage):
    """Fills `language` with a BCP 47 tag and `language_confidence` with the model's probability (none where the source told the language).

    Name the languages that can occur: among a few, far fewer texts are mistaken (Malay for Indonesian, Moroccan for standard Arabic) and
    it is twice as fast. A text in a language that the model does not know is taken for a neighbour's, often surely (Sundanese for Javanese).
    A text without a letter, or below `min_confidence`, gets `und`. Numbers: benchmarks/language_id.py.
    """

    kind: Literal["language"] = "language"
    languages: tuple[str, ...] = Field(default=(), description="BCP 47 tags of the languages that can occur; empty: all 140 that the model knows")
    keep: tuple[str, ...] = Field(default=(), description="drop records in other languages as other_language; pt keeps pt-BR too; empty: keep all")
    min_confidence: float = Field(default=0.0, ge=0, le=1, description="below it the language is und")
    overwrite: bool = Field(default=False, description="true: also where the source told the language")
    max_chars: int = Field(default=1000, ge=20, description="so much of a text's beginning is looked at")

    @field_validator("languages")
    @classmethod
    def _known(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        return check_tags(tags, known=True)

    @field_validator("keep")
    @classmethod
    def _tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        return check_tags(tags, known=False)

    def in_words(self) -> str:
        among = ", ".join(self.languages) or "all that py3langid knows"
        return f"tell the language, among {among}" + (f"; keep {', '.join(self.keep)}" if self.keep else "")

    def needs(self) -> tuple[str, ...]:
        return ("package py3langid",)

    def apply(self, batch: Batch, work: Work) -> None:  # noqa: ARG002 -- the contract of stages
        told = list(batch.columns["language"])
        asked = [position for position, language in enumerate(told) if self.overwrite or not language]
        confidence: list[float | None] = [None] * len(told)
        guesses = self.guess([batch.texts[position] for position in asked])
        for position, (tag, share) in zip(asked, guesses, strict=True):
            told[position], confidence[position] = tag, share
        batch.columns["language"], batch.columns["language_confidence"] = told, confidence
        if self.keep:
            wanted = {tag: matches(tag, self.keep) for tag in set(told)}
            batch.drop({at: ("other_language", tag) for at, tag in enumerate(told) if not wanted[tag]}, stage=self.kind)

    def guess(self, texts: list[str]) -> list[Guess]:
        """Tag and confidence of each text; (`und`, 0) where there is nothing to tell it by."""
        if not texts:
            return []
        parts = [text[: self.max_chars] for text in texts]
        guesses = identifier(self.languages).classify(parts)
        return [self._said(part, guess) for part, guess in zip(parts, guesses, strict=True)]

    def _said(self, text: str, guess: Guess | None) -> Guess:
        if guess is None or not _LETTER.search(text):
            return UNDETERMINED, 0.0
        return guess if guess[1] >= self.min_confidence else (UNDETERMINED, guess[1])
