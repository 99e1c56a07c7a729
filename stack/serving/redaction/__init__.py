"""Personal data taken out of request bodies before the engine gets them (pure, but for the key that is read once).

In come a body that passed the closed schema and a class's `redact`; out go edits of its bytes, for `gateway/body.lua` to make, and how many
values of which kind. Every text of a body is searched, where it stands escaped too; what is left alone is listed in `json_texts`.
Values are in no edit, message, metric or log. What cannot be done is an error: the request is refused.
"""

from stack.serving.redaction.edits import Edit, RedactedBody, apply_edits, redact_body, write_edits
from stack.serving.redaction.redactor import Redactor, build_redactors

__all__ = ["Edit", "RedactedBody", "Redactor", "apply_edits", "build_redactors", "redact_body", "write_edits"]
