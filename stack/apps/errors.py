"""Faults of an app that its user can mend."""

from stack.runtime.errors import StackproofError


class AppError(StackproofError):
    """Bad input to an app: the message names the file, field or option and the mend."""
