"""`stackproof plan`: the engine plan chosen for this machine, and why."""

from typing import Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table


def plan(
    model: Annotated[str, typer.Option("--model", help="Name of a model in the catalog.")] = "smollm2-135m-instruct",
    max_model_len: Annotated[int | None, typer.Option("--max-model-len", help="Shorten the context to this many tokens.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the engine would run a model on this machine, with the reason for each choice."""
    from stack.hardware_profiles import collect_inventory
    from stack.serving import find_model, make_plan

    chosen = make_plan(collect_inventory(), find_model(model), max_model_len=max_model_len)
    if as_json:
        print_json({**chosen.model_dump(mode="json"), "vllm_arguments": chosen.vllm_arguments(), "environment": chosen.environment()})
        return
    print_table(("choice", "value", "why"), [(reason.choice, reason.value, reason.why) for reason in chosen.reasons], title=f"{model} on {chosen.device_name}")
    typer.echo(f"memory: {chosen.memory.in_words()}, {chosen.memory.left_bytes / 2**30:.2f} GiB left")
    typer.echo(f"vllm {' '.join(chosen.vllm_arguments())}")
