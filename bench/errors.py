"""Faults of benchmarking that a user can mend."""

from stack.runtime.errors import StackproofError


class BenchError(StackproofError):
    """A workload, an endpoint or a set of samples that cannot be used; the message names it and the mend."""
