"""`stackproof plan`: the engine plan chosen for this machine, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from stack.serving.prediction import Prediction


def plan(
    model: Annotated[str, typer.Option("--model", help="Name of a model in the catalog.")] = "smollm2-135m-instruct",
    max_model_len: Annotated[int | None, typer.Option("--max-model-len", help="Shorten the context to this many tokens.")] = None,
    profile: Annotated[
        Path | None, typer.Option("--profile", metavar="FILE", help="profile.json of this machine: predict the highest decode and prefill rates from it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the engine would run a model on this machine, with the reason for each choice."""
    from stack.hardware_profiles import collect_inventory
    from stack.serving import find_model, make_plan

    entry = find_model(model)
    chosen = make_plan(collect_inventory(), entry, max_model_len=max_model_len)
    predictions: tuple[Prediction, ...] = ()
    if profile is not None:
        from stack.hardware_profiles.profile import load_profile
        from stack.serving.prediction import predict_plan

        predictions = predict_plan(load_profile(profile), chosen, entry)
    if as_json:
        told = {"predictions": [each.model_dump(mode="json") for each in predictions]} if predictions else {}
        print_json({**chosen.model_dump(mode="json"), "vllm_arguments": chosen.vllm_arguments(), "environment": chosen.environment(), **told})
        return
    print_table(("choice", "value", "why"), [(reason.choice, reason.value, reason.why) for reason in chosen.reasons], title=f"{model} on {chosen.device_name}")
    typer.echo(f"memory: {chosen.memory.in_words()}, {chosen.memory.left_bytes / 2**30:.2f} GiB left")
    typer.echo(f"vllm {' '.join(chosen.vllm_arguments())}")
    if predictions:
        _print_predictions(predictions)


def _print_predictions(predictions: "tuple[Prediction, ...]") -> None:
    rows = [
        (each.batch, each.context_tokens, f"{each.decode_tokens_per_s:,.1f}", each.decode_bound, f"{each.prefill_tokens_per_s:,.0f}") for each in predictions
    ]
    print_table(("sequences", "context", "decode tokens/s at most", "bound by", "prefill tokens/s at most"), rows, title="Computed from the profile")
    typer.echo(f"from {predictions[0].bandwidth_from} and {predictions[0].operations_from}: {predictions[0].source}")
    for doubt in predictions[0].doubts:
        typer.echo(f"doubt: {doubt}")
