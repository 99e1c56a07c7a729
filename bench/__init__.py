"""Workloads, load generation, metrics, statistics: the numbers that back the claims.

In: a workload file and a streaming chat endpoint. Out: Parquet with a row per request and per content event, and a `Summary`
that is a pure function of those two files. Times are taken in the process that reads the socket, once per read; text is parsed
after the run. It must never change the time of an arrival, report a number it could not resolve as valid, start the server it
measures, or put a key into a file, a log or a message.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.errors import BenchError
    from bench.results.summary import Summary
    from bench.workload import Workload, load_workload, ready_workloads

__all__ = ["BenchError", "Summary", "Workload", "load_workload", "ready_workloads"]

_HOMES = {"BenchError": "bench.errors", "Summary": "bench.results.summary"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is asked for: worker and sampling processes start in half the time without all of them."""
    if name not in __all__:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "bench.workload")), name)
