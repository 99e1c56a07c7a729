"""The stage that takes personal data out of texts (a thin edge over stack.privacy: it reads the key file)."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from stack.evidence import canonical_json
from stack.pipelines.base import Batch, RecordStage, Work
from stack.pipelines.errors import PipelineError
from stack.privacy import (
    KINDS,
    Key,
    Mask,
    PrivacyError,
    Pseudonym,
    Redaction,
    Reversible,
    Span,
    check_countries,
    check_kinds,
    find_all,
    read_key,
    redact,
)

NOTES, COLUMN = "pii_spans", "pii"
_PACKAGES = ("phonenumbers", "python-stdnum")
"""Their versions decide which numbers are valid, so they are part of the digest."""


class Pii(RecordStage):
    """Replaces what `stack.privacy.find` finds; the column `pii` counts it, the log pii_spans says where it stood, never what it was."""

    kind: Literal["pii"] = "pii"
    kinds: tuple[str, ...] = Field(default=KINDS, min_length=1, description="What is looked for")
    countries: tuple[str, ...] | None = Field(default=None, min_length=1, description="ISO 3166 codes: whose national numbers and phones; all by default")
    how: Literal["mask", "pseudonym", "reversible"] = "mask"
    key_file: Path | None = Field(default=None, description="For pseudonym and reversible, mode 0600, relative to the pipeline file")
    min_confidence: float = Field(default=0.5, ge=0, le=1, description="Spans below it stay; 0.8 leaves names after a cue word in the text")
    drop: bool = Field(default=False, description="Leave the records with personal data out instead")

    @field_validator("kinds")
    @classmethod
    def _kinds_are_known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        check_kinds(kinds)
        return kinds

    @field_validator("countries")
    @classmethod
    def _countries_are_known(cls, countries: tuple[str, ...] | None) -> tuple[str, ...] | None:
        check_countries(countries or ())
        return countries

    @model_validator(mode="after")
    def _key_where_it_is_used(self) -> Self:
        if self.drop and self.how != "mask":
            raise ValueError(f"`drop` leaves records out, so `how: {self.how}` would do nothing: remove one of them")
        if (self.how == "mask") != (self.key_file is None):
            raise ValueError("`key_file` is not used by `how: mask`: remove it" if self.how == "mask" else f"`how: {self.how}` needs `key_file`")
        return self

    def digest(self, work: Work) -> str:
        """The key's fingerprint stands for the key, wherever its file lies."""
        key = self._key(work)
        body = {
            "stage": self.kind,
            "version": self.VERSION,
            **self.model_dump(mode="json", exclude={"key_file"}),
            "key": key.fingerprint if key else "",
            "packages": {name: version(name) for name in _PACKAGES},
        }
        return hashlib.sha256(canonical_json(body)).hexdigest()

    def in_words(self) -> str:
        what = "all kinds of personal data" if set(self.kinds) == set(KINDS) else ", ".join(self.kinds)
        where = f" of {', '.join(self.countries)}" if self.countries else ""
        return f"{'drop records with' if self.drop else {'mask': 'mask', 'pseudonym': 'pseudonymise', 'reversible': 'encrypt'}[self.how]} {what}{where}"

    def needs(self) -> tuple[str, ...]:
        packages = tuple(f"package {name}" for name in _PACKAGES)
        return (*packages, f"key file {self.key_file}") if self.key_file else packages

    def apply(self, batch: Batch, work: Work) -> None:
        found = [
            [span for span in spans if span.confidence >= self.min_confidence] if spans else spans
            for spans in find_all(batch.texts, self.kinds, self.countries)
        ]
        batch.columns[COLUMN] = [len(spans) for spans in found]
        if self.drop:
            batch.drop({row: ("personal_data", _counted(spans)) for row, spans in enumerate(found) if spans}, stage=self.kind)
        else:
            self._redact(batch, found, self._redaction(work))

    def _redact(self, batch: Batch, found: Sequence[Sequence[Span]], how: Redaction) -> None:
        texts, notes = list(batch.texts), batch.notes.setdefault(NOTES, [])
        for row, spans in enumerate(found):
            if not spans and self.how != "reversible":  # which also encrypts look-alikes of its own tokens
                continue
            texts[row], log = redact(texts[row], spans, how)
            record_id = batch.columns["record_id"][row]
            notes += [{"record_id": record_id, "start": at.start, "end": at.end, "kind": at.kind, "country": at.country, "how": at.how} for at in log]
        batch.columns["text"] = texts

    def _redaction(self, work: Work) -> Redaction:
        key = self._key(work)
        if key is None:
            return Mask()
        return Pseudonym(key) if self.how == "pseudonym" else Reversible(key)

    def _key(self, work: Work) -> Key | None:
        if self.key_file is None:
            return None
        try:
            return read_key(work.folder / self.key_file)
        except PrivacyError as fault:
            raise PipelineError(f"stage `pii`, field `key_file`: {fault}") from None


def _counted(spans: Sequence[Span]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(span.kind for span in spans).items()))
