"""`stackproof inventory`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table
from stack.cli.places import EvidenceOption, writable_file
from stack.runtime.errors import StackproofError

if TYPE_CHECKING:
    from stack.hardware_profiles import Inventory


class Format(StrEnum):
    """How an inventory is written."""

    table = "table"
    json = "json"
    mlperf = "mlperf"
    labels = "labels"


def inventory(
    *,
    as_json: JsonOption = False,
    form: Annotated[
        Format,
        typer.Option("--format", help="json is the inventory; mlperf a system description for a submission; labels an NFD feature file for Kubernetes."),
    ] = Format.table,
    declare: Annotated[
        Path | None, typer.Option("--declare", metavar="FILE", dir_okay=False, help="YAML of what the machine cannot tell, as in `system.cooling: air`.")
    ] = None,
    identifiers: Annotated[bool, typer.Option("--identifiers", help="Show serial numbers, GPU UUIDs and MAC addresses instead of hashes of them.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", callback=writable_file, help="Also write it to this file, a table as JSON.")] = None,
    evidence: EvidenceOption = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="What is in a Kubernetes cluster instead of this machine.")] = False,
    context: Annotated[str | None, typer.Option("--context", metavar="NAME", help="With --cluster: the context; the current one by default.")] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", metavar="FILE", help="With --cluster: how to reach it; as kubectl finds it, or the pod's own, by default.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", metavar="NAME", help="With --cluster: where the chart keeps the nodes' own inventories; stackproof by default.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the inventory instead.")] = False,
) -> None:
    """What is in this machine: processor, memory, storage, network, accelerators, software.

    A value that cannot be read is shown as unknown, with the reason below the table.
    """
    if cluster or context or kubeconfig or namespace:
        from stack.cli.cluster_inventory import Wanted, cluster_inventory

        machine_only = {"--declare": declare is not None, f"--format {form.value}": form in (Format.mlperf, Format.labels)}
        wanted = Wanted(as_json=as_json or form is Format.json, schema=schema, identifiers=identifiers, out=out, evidence=evidence)
        cluster_inventory(cluster, kubeconfig, context, namespace, wanted, refused=[option for option, given in machine_only.items() if given])
        return
    if schema:
        from stack.hardware_profiles.schema import inventory_schema

        print_json(inventory_schema())
        return
    from stack.hardware_profiles import collect_inventory

    if as_json and form not in (Format.table, Format.json):
        raise StackproofError(f"--json and --format {form} ask for two forms: leave one out")
    form = Format.json if as_json else form
    found = collect_inventory(identifiers=identifiers)
    if declare is not None:
        from stack.hardware_profiles.declared import declare as declare_values
        from stack.hardware_profiles.declared import load_declarations

        found = declare_values(found, load_declarations(declare), source=str(declare))
    if out is not None:
        from stack.runtime.files import write_atomic

        try:
            write_atomic(out, _written(found, Format.json if form is Format.table else form))
        except OSError as error:
            raise StackproofError(f"--out {out}: cannot be written: {(error.strerror or 'input or output failed').lower()}") from None
    if evidence is not None:
        from stack.evidence import EvidenceStore
        from stack.hardware_profiles.evidence import draft

        EvidenceStore(evidence).write(*draft(found, identifiers=identifiers))
    if form is Format.table:
        _print_tables(found)
    elif written := _written(found, form):
        typer.echo(written, nl=False)
    else:
        typer.echo("no label: no accelerator was found on this node", err=True)


def _written(found: "Inventory", form: Format) -> str:
    """The inventory in a form that a file can hold."""
    if form is Format.mlperf:
        from stack.hardware_profiles.mlperf import system_description

        return json.dumps(system_description(found), indent=2, ensure_ascii=False) + "\n"
    if form is Format.labels:
        from stack.hardware_profiles.labels import feature_file, node_labels

        return feature_file(node_labels(found))
    return found.model_dump_json(indent=2) + "\n"


def _print_tables(found: "Inventory") -> None:
    from stack.hardware_profiles.summary import rows, unknown_rows

    print_table(("what", "found"), rows(found))
    if found.warnings:
        print_table(("", "warning"), enumerate(found.warnings, 1))
    if unknown := unknown_rows(found):
        print_table(("unknown", "because"), unknown)
