"""Faults of evidence: something does not hash, verify or parse."""

from stack.runtime.errors import CheckFailedError


class EvidenceError(CheckFailedError):
    """Evidence that does not hold; the message begins with the file at fault, relative to its folder."""
