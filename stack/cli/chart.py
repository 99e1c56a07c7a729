"""`stackproof chart`: the Helm chart's values from plan and policy, and the chart rendered."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.eager import EagerOption
from stack.cli.output import JsonOption, print_json
from stack.cli.places import writable_file

if TYPE_CHECKING:
    from stack.hardware_profiles import Inventory

app = typer.Typer(no_args_is_help=True, help="The same stack on Kubernetes: values from plan and policy, and the rendered chart.")
DEFAULT_MODEL = "smollm2-135m-instruct"
CHART = Path(__file__).parents[2] / "helm" / "stackproof"


@app.command()
def values(
    *,
    model: Annotated[str, typer.Option("--model", help="Name of a model in the catalog.")] = DEFAULT_MODEL,
    deployment: Annotated[
        Path | None,
        typer.Option("--deployment", metavar="FILE", help="YAML file that names several models, engines and canaries, as for `stackproof serve`."),
    ] = None,
    inventory: Annotated[
        Path | None,
        typer.Option(
            "--inventory", metavar="FILE", help="Plan for the machine of this file (`stackproof inventory --out FILE` on a node); this machine by default."
        ),
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="YAML file that says what may pass the gateway; a strict one ships.")] = None,
    max_model_len: Annotated[int | None, typer.Option("--max-model-len", help="Shorten the context to this many tokens.")] = None,
    enforce_eager: EagerOption = False,
    name: Annotated[str, typer.Option("--name", help="Prefix of every Kubernetes object.")] = "stackproof",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", callback=writable_file, help="Write to this file instead of standard output.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the chart's values that follow from the engine plan and the gateway policy.

    Images, volume claims and Secrets are yours to add in a second file: helm/stackproof/ci/site.yaml is one to start from.
    """
    from stack.runtime.files import write_atomic
    from stack.serving import ServingError, find_model, load_policy, make_plan
    from stack.serving.deployment import load_deployment
    from stack.serving.helm_pools import lay_out_pods
    from stack.serving.helm_values import chart_values, deployment_values, values_yaml
    from stack.serving.plan import EAGER_ASKED, inventory_hardware

    if deployment is not None:
        if model != DEFAULT_MODEL or max_model_len is not None or enforce_eager:
            raise ServingError("--deployment names models and their plans: leave --model, --max-model-len and --enforce-eager out")
        pools = lay_out_pods(load_deployment(deployment), inventory_hardware(_inventory(inventory)))
        made = deployment_values(pools, load_policy(policy), name=name)
    else:
        plan = make_plan(_inventory(inventory), find_model(model), max_model_len=max_model_len, eager=EAGER_ASKED if enforce_eager else None)
        made = chart_values(plan, load_policy(policy), name=name)
    if out is not None:
        write_atomic(out, values_yaml(made))
    if as_json:
        print_json(made)
    elif out is None:
        sys.stdout.write(values_yaml(made))


@app.command()
def render(
    values_files: Annotated[
        list[Path], typer.Option("--values", "-f", metavar="FILE", exists=True, dir_okay=False, help="A values file; later ones win. Repeat it.")
    ],
    release: Annotated[str, typer.Option("--release", help="Name of the Helm release.")] = "stackproof",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Namespace of the release.")] = "stackproof",
    kube_version: Annotated[str, typer.Option("--kube-version", help="Render for this version of Kubernetes.")] = "1.34.0",
    chart: Annotated[Path, typer.Option("--chart", metavar="DIR", help="Folder of the chart; that of this checkout by default.")] = CHART,
) -> None:
    """Print the chart's manifests, as a real helm renders them. No cluster is asked."""
    from stack.serving.helm_binary import HelmError, find_helm
    from stack.serving.helm_binary import render as render_chart

    if not (chart / "Chart.yaml").is_file():
        raise HelmError(f"no chart in {chart}: name its folder with --chart (helm/stackproof in a checkout)")
    typer.echo(render_chart(find_helm(), chart, values_files, release=release, namespace=namespace, kube_version=kube_version))


def _inventory(path: Path | None) -> "Inventory":
    from pydantic import ValidationError

    from stack.hardware_profiles import Inventory, collect_inventory
    from stack.runtime.errors import StackproofError, describe_validation

    if path is None:
        return collect_inventory()
    try:
        return Inventory.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StackproofError(f"--inventory {path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise StackproofError(describe_validation(error, source=str(path))) from None
