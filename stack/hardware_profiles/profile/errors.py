"""What a user can mend about a profile."""

from stack.runtime.errors import StackproofError


class ProfileError(StackproofError):
    """Bad option, missing library, or hardware that is not there."""
