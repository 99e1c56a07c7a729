"""A policy's `redact`, ready for requests: its key is read once (edge: one file)."""

import logging
from dataclasses import dataclass
from pathlib import Path

from stack.privacy import Mask, Pseudonym, Redaction, check_countries, find_all, read_key
from stack.serving.errors import ServingError
from stack.serving.policy import GatewayPolicy
from stack.serving.redaction.edits import redact_body, write_edits
from stack.serving.requests import RefusedError
from stack.serving.tenants import Redact


@dataclass(frozen=True)
class Redactor:
    """One way to redact."""

    rules: Redact
    how: Redaction

    def redact(self, body: bytes) -> tuple[str, dict[str, int]]:
        """The header of edits, and how many values of which kind they take out; RefusedError when it cannot be done."""
        try:
            redacted = redact_body(body, lambda texts: find_all(texts, self.rules.kinds, self.rules.countries), self.how)
        except RefusedError:
            raise
        except Exception as fault:  # a fault's message may hold what was searched: its kind alone is told
            logging.getLogger(__name__).error("a request is not passed on, since redacting it failed: %s", type(fault).__name__)
            raise RefusedError("personal data could not be taken out of the body, so it is not passed on", status=403) from None
        return write_edits(body, redacted.edits), redacted.counts


def build_redactors(policy: GatewayPolicy) -> dict[str, Redactor]:
    """By class, of those that redact; ServingError or PrivacyError when a country is none or a key cannot be read."""
    return {name: _redactor(rules) for name in policy.classes if (rules := policy.redact_of(name)) is not None}


def _redactor(rules: Redact) -> Redactor:
    if rules.countries is not None:
        try:
            check_countries(rules.countries)
        except ValueError as error:
            raise ServingError(f"field `redact.countries`: {error}") from None
    return Redactor(rules, Mask() if rules.key_file is None else Pseudonym(read_key(Path(rules.key_file))))
