"""Well-known phrases of prompt injection (pure).

The kinds are classes of OWASP's LLM Prompt Injection Prevention Cheat Sheet; the patterns are our own. Repetitions are bounded,
so that a search takes time linear in the text.
"""

import re

DROP = r"\b(?:ignore|disregard|forget|override|bypass)"
EARLIER = r"(?:previous|prior|earlier|above|preceding|existing|original)"
ORDERS = r"(?:instructions?|directions?|directives?|prompts?|rules|guidelines)\b"
SHOW = r"\b(?:reveal|print|show|repeat|output|display|leak|tell)(?: (?:me|us|out|the|your|full|whole|entire|exact|original)){0,5}"
KINDS = {
    "an order to drop earlier instructions": (
        rf"{DROP}(?: (?:all|any|of|the|your|my|these|those|every)){{0,4}} {EARLIER}(?: \w{{1,20}}){{0,2}} {ORDERS}",
        rf"{DROP}(?: all)?(?: of)? your (?:\w{{1,20}} )?{ORDERS}",
    ),
    "a request for the system prompt": (rf"{SHOW} (?:system|initial|hidden) (?:prompt|message|instructions)\b",),
    "a switch to a mode without rules": (
        r"\byou are now (?:in )?(?:developer mode|dan|jailbroken|unrestricted)\b",
        r"\b(?:enable|enter|activate) (?:developer|dan|jailbreak|god) mode\b",
        r"\bdo anything now\b",
    ),
}
"""Of lower-case text with single spaces."""
PHRASES = {kind: re.compile("|".join(patterns)) for kind, patterns in KINDS.items()}
MARKERS = re.compile(
    r"<\|(?:im_start|im_end|start_header_id|end_header_id|eot_id|system|user|assistant|start|end|message|channel)\|>"
    r"|\[/?INST\]|<</?SYS>>|</?start_of_turn>"
)
"""With which chat templates part the roles: in a message they would let a user speak as the system."""
SPACES = re.compile(r"\s+")


def find_injection(text: str) -> str | None:
    """The first kind that is found, in words; None when there is none."""
    if MARKERS.search(text):
        return "a marker of the chat template"
    plain = SPACES.sub(" ", text).lower()
    return next((kind for kind, phrases in PHRASES.items() if phrases.search(plain)), None)
