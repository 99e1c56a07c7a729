"""Faults of the security layer that a user can mend."""

from stack.runtime.errors import CheckFailedError, StackproofError


class SecurityError(StackproofError):
    """A catalog, table or option that cannot be used as given."""


class AuditFailedError(CheckFailedError):
    """At least one control does not hold."""


class CannotCheckError(Exception):
    """A check could not be carried out; it becomes the reason of an `unknown`, so it never reaches a user as an error."""
