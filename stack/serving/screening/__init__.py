"""Optional search of requests for personal data and for prompt injection (pure).

In come the passages of a request and the policy's `screening`; out goes a reason to refuse it, or None. Both look for forms, not
for meaning: they find what is written the usual way, miss what is written otherwise, and refuse some harmless texts.
What was found is never repeated.
"""

from collections.abc import Iterable

from stack.serving.bodies.base import Passage
from stack.serving.policy import Screening
from stack.serving.screening.injection import find_injection
from stack.serving.screening.personal import find_personal

__all__ = ["find_injection", "find_personal", "find_refused"]


def find_refused(passages: Iterable[Passage], screening: Screening) -> str | None:
    """Why a request is refused: the field and the kind of what was found there, never the text. None when it is not."""
    if screening.pii == "off" and screening.injection == "off":
        return None
    for passage in passages:
        found = find_personal(passage.text) if screening.pii == "refuse" else None
        if found is None and passage.foreign and screening.injection == "refuse":
            found = find_injection(passage.text)
        if found is not None:
            return f"field `{passage.field}`: holds what looks like {found}, which this gateway does not pass on"
    return None
