"""Personal data in text: where it stands, and how it is taken out.

In: texts. Out: spans (kind, country, rule, confidence), and texts in which spans are masked, pseudonymised or encrypted, with a log
of places that never holds a value. Validators and cue words, no model: a name without a cue word beside it is not found.
It prints nothing, sends nothing, and imports no other layer but stack.runtime.
"""

from stack.privacy.find import KINDS, check_countries, check_kinds, find, find_all
from stack.privacy.keys import Key, PrivacyError, create_key, read_key
from stack.privacy.redact import Mask, Pseudonym, Redaction, Replacement, Reversible, redact, restore
from stack.privacy.spans import Span

__all__ = [
    "KINDS",
    "Key",
    "Mask",
    "PrivacyError",
    "Pseudonym",
    "Redaction",
    "Replacement",
    "Reversible",
    "Span",
    "check_countries",
    "check_kinds",
    "create_key",
    "find",
    "find_all",
    "read_key",
    "redact",
    "restore",
]
