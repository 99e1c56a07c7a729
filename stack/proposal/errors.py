"""Faults of this layer: an input the user can mend, and a dossier that does not hold."""

from stack.runtime.errors import CheckFailedError, StackproofError


class ProposalError(StackproofError):
    """A proposal, a call profile or an output folder that cannot be used; the message names the field or file and the mend."""


class DossierError(CheckFailedError):
    """A dossier that cannot be read or does not hold; the message begins with the file at fault."""
