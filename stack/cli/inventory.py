"""`stackproof inventory`."""

from pathlib import Path
from typing import Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table


def inventory(
    as_json: JsonOption = False,
    identifiers: Annotated[bool, typer.Option("--identifiers", help="Show serial numbers, GPU UUIDs and MAC addresses instead of hashes of them.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", dir_okay=False, writable=True, help="Also write it as JSON to this file.")] = None,
    evidence: Annotated[Path | None, typer.Option("--evidence", metavar="DIR", file_okay=False, help="Also write a signed record into this folder.")] = None,
) -> None:
    """What is in this machine: processor, memory, storage, network, accelerators, software.

    A value that cannot be read is shown as unknown, with the reason below the table.
    """
    from stack.hardware_profiles import collect_inventory

    found = collect_inventory(identifiers=identifiers)
    if out is not None:
        from stack.runtime.files import write_atomic

        write_atomic(out, found.model_dump_json(indent=2) + "\n")
    if evidence is not None:
        from stack.evidence import EvidenceStore
        from stack.hardware_profiles.evidence import draft

        EvidenceStore(evidence).write(*draft(found, identifiers=identifiers))
    if as_json:
        print_json(found)
        return
    from stack.hardware_profiles.summary import rows

    print_table(("what", "found"), rows(found))
    if found.failures:
        print_table(("unknown", "because"), ((probe.name, probe.reason) for probe in found.failures))
