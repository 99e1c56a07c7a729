"""`stackproof inventory --cluster`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.cli.output import print_json, print_table
from stack.runtime.errors import StackproofError

NAMESPACE = "stackproof"
"""Where docs/kubernetes.md installs the chart."""


@dataclass(frozen=True)
class Wanted:
    """What the command shall leave."""

    as_json: bool
    schema: bool
    identifiers: bool
    out: Path | None
    evidence: Path | None


def cluster_inventory(asked: bool, kubeconfig: Path | None, context: str | None, namespace: str | None, wanted: Wanted, *, refused: Sequence[str]) -> None:
    """Nodes, accelerators and drivers of a cluster as JSON or tables; a file and a record where asked for.

    StackproofError for options of a cluster without `--cluster` (`asked`), and for those of a machine with it (`refused`).
    """
    if not asked:
        raise StackproofError("--context, --kubeconfig, --namespace: speak of a cluster: add --cluster")
    if refused:
        raise StackproofError(f"{', '.join(refused)}: speaks of one machine: leave it out with --cluster")
    from stack.hardware_profiles.cluster import ClusterInventory, collect_cluster, connect

    if wanted.schema:
        print_json(ClusterInventory.model_json_schema())
        return
    found = collect_cluster(connect(kubeconfig, context), namespace=namespace or NAMESPACE, identifiers=wanted.identifiers)
    if wanted.out is not None:
        from stack.runtime.files import write_atomic

        write_atomic(wanted.out, found.model_dump_json(indent=2) + "\n")
    if wanted.evidence is not None:
        from stack.evidence import EvidenceStore
        from stack.hardware_profiles.cluster.evidence import draft

        EvidenceStore(wanted.evidence).write(*draft(found, identifiers=wanted.identifiers))
    if wanted.as_json:
        # Straight from the models: thousands of nodes as dictionaries would take twice the memory.
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
        return
    from stack.hardware_profiles.cluster.summary import KIND_COLUMNS, kind_rows, total_rows

    print_table(("what", "found"), total_rows(found))
    print_table(KIND_COLUMNS, kind_rows(found), title="kinds of node")
    if found.warnings:
        print_table(("look at",), ((warning,) for warning in found.warnings))
    if found.failures:
        print_table(("unknown", "because"), ((probe.name, probe.reason) for probe in found.failures))
