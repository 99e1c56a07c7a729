"""Faults of a labeling run that its user can mend."""

from stack.runtime.errors import StackproofError


class PipelineError(StackproofError):
    """A pipeline, a source, an endpoint or an output folder that cannot be used; the message names it and the mend."""
