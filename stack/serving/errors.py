"""Faults of serving that a user can mend."""

from stack.runtime.errors import StackproofError


class ServingError(StackproofError):
    """A model, plan, policy, engine or gateway that cannot be used as asked."""
