"""What headers of an engine's answer a client gets (pure): an allow list, in the one form in which Envoy takes it, a pattern of all others."""

import re
from collections.abc import Collection
from typing import Any

from stack.serving.gateway.typed import TYPE

TOLD = (
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "server",
    "strict-transport-security",
    "transfer-encoding",
    "www-authenticate",
)
"""All that an answer may say of itself. What else an engine adds (its own ids, load, cookies, names of software) stays behind the gateway."""

PROGRAM_SIZE = 5000
"""Instructions of a pattern that Envoy has to accept: its own limit of 100 is meant for patterns that users write."""
STATUS = ":status"
"""No header, but Envoy keeps it among them."""


def answer_filter() -> dict[str, Any]:
    """Removes all other headers, in Envoy's own code: a script would cost each answer as much as its routing."""
    others = any_but((*TOLD, STATUS))
    return {
        "@type": f"{TYPE}.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": {"response_mutations": [{"remove_on_match": {"key_matcher": {"safe_regex": {"regex": others}}}}]},
    }


def any_but(words: Collection[str]) -> str:
    """A pattern, for the whole of a text and without look-ahead (RE2 has none), of every text that is none of the words.

    Words are lower-case header names. At each letter either all words are left, or one letter further is asked the same of what is left of them.
    """
    by_first: dict[str, list[str]] = {}
    for word in words:
        if word:
            by_first.setdefault(word[0], []).append(word[1:])
    if not by_first:
        return ".+" if "" in words else ".*"
    left = f"[^{''.join(re.escape(letter) for letter in sorted(by_first))}].*"
    longer = [f"{re.escape(letter)}{any_but(rest)}" for letter, rest in sorted(by_first.items())]
    return f"(?:{'|'.join([left, *longer])}){'' if '' in words else '?'}"
