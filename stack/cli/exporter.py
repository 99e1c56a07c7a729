"""`stackproof exporter`: live metrics of accelerators and host for Prometheus."""

from threading import Event
from typing import Annotated

import typer

LEAST_S = 0.1
"""Shorter periods repeat the driver's own average and cost CPU."""


def exporter(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="TCP port to serve metrics on.")] = 9400,
    listen: Annotated[str, typer.Option("--listen", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all of IPv4.")] = "127.0.0.1",
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="How often each source is read, as in 500ms or 1s.")] = "1s",
) -> None:
    """Serve metrics of accelerators and host at /metrics until Ctrl-C or SIGTERM.

    A source that cannot be read has stackproof_source_up 0 and its reason on stderr; the others go on.
    """
    import logging

    from stack.hardware_profiles.telemetry.prometheus import serving
    from stack.hardware_profiles.telemetry.sampler import Sampler
    from stack.hardware_profiles.telemetry.sources import all_sources
    from stack.runtime.durations import parse_duration_s
    from stack.runtime.errors import StackproofError

    every_s = parse_duration_s(every, field="--every")
    if every_s < LEAST_S:
        raise StackproofError(f"field `--every`: {every} is shorter than the {LEAST_S:g} s over which drivers average: give {LEAST_S:g}s or more")
    logging.basicConfig(format="stackproof: %(message)s", level=logging.INFO)
    sampler = Sampler(all_sources(), every_s)
    try:
        with serving(sampler.samples, address=listen, port=port):
            sampler.start()
            shown = f"[{listen}]" if ":" in listen else listen
            typer.echo(f"stackproof: metrics at http://{shown}:{port}/metrics, read every {every}; Ctrl-C ends it", err=True)
            Event().wait()
    except KeyboardInterrupt:
        sampler.stop()
