"""Faults of serving that a user can mend."""

from stack.runtime.errors import CheckFailedError, StackproofError


class ServingError(StackproofError):
    """A model, plan, policy, engine or gateway that cannot be used as asked."""


class ModelChangedError(ServingError, CheckFailedError):
    """A pulled model that is not what was pulled; the message names the file."""


class PartEndedError(ServingError):
    """A part of a served model ended by itself while it was needed."""

    exit_status = 1
