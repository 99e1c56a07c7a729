"""`stackproof plan`: the engine plan chosen for this machine or another, and why."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stack.cli.eager import EagerOption
from stack.cli.output import JsonOption, print_json, print_table
from stack.runtime.errors import StackproofError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack.serving.plan import EnginePlan, Hardware
    from stack.serving.prediction import Beside, Predictions


class Format(StrEnum):
    """How a plan is written."""

    text = "text"
    json = "json"
    vllm = "vllm"
    helm = "helm"
    ray = "ray"


class Quantization(StrEnum):
    fp8 = "fp8"


def plan(
    *,
    model: Annotated[str, typer.Option("--model", help="Name of a model in the catalog.")] = "smollm2-135m-instruct",
    inventory: Annotated[
        Path | None, typer.Option("--inventory", metavar="FILE", help="Plan for the machine of this file (`stackproof inventory --out FILE`).")
    ] = None,
    hardware: Annotated[
        str | None, typer.Option("--hardware", metavar="NAME[:DEVICES[xNODES]]", help="Plan for catalogued accelerators, as in h100-sxm:8x2.")
    ] = None,
    max_model_len: Annotated[int | None, typer.Option("--max-model-len", help="Shorten the context to this many tokens.")] = None,
    enforce_eager: EagerOption = False,
    quantization: Annotated[Quantization | None, typer.Option("--quantization", help="Cast the weights as they are loaded; answers change.")] = None,
    kv_cache_dtype: Annotated[Quantization | None, typer.Option("--kv-cache-dtype", help="Hold keys and values in this type; answers change.")] = None,
    draft: Annotated[str | None, typer.Option("--draft", metavar="MODEL", help="Speculative decoding with this small model of the catalog.")] = None,
    slo: Annotated[
        str | None, typer.Option("--slo", metavar="LIMITS", help="Limit the batch to what the roofline allows: ttft_p99=500ms,tpot_p99=50ms.")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option("--profile", metavar="FILE", help="profile.json of the device: measured rates in place of published ones.")
    ] = None,
    measured: Annotated[
        Path | None, typer.Option("--measured", metavar="RUN", help="Folder of a `bench run` against this plan's engine: its rates beside the ceilings.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="vllm: its arguments; helm: values of the chart; ray: a Ray Serve LLM configuration.")] = Format.text,
    model_path: Annotated[
        Path | None, typer.Option("--model-path", metavar="DIR", help="With --format ray: where the model lies, the same on every machine.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the engine would run a model on this machine, or on another, with the reason for each choice."""
    from stack.hardware_profiles.profile import load_profile
    from stack.serving import find_model, make_plan
    from stack.serving.plan import parse_service_level
    from stack.serving.prediction import predict_plan

    if as_json and form not in (Format.text, Format.json):
        raise StackproofError(f"--json and --format {form} ask for two forms: leave one out")
    if model_path is not None and form is not Format.ray:
        raise StackproofError("--model-path: goes with --format ray alone; `stackproof serve` finds the model itself")
    entry, target = find_model(model), _hardware(inventory, hardware)
    device = load_profile(profile) if profile is not None else None
    kv: Literal["auto", "fp8"] = "auto" if kv_cache_dtype is None else "fp8"
    chosen = make_plan(
        target,
        entry,
        max_model_len=max_model_len,
        quantization=quantization.value if quantization is not None else None,
        kv_cache_dtype=kv,
        draft=find_model(draft) if draft is not None else None,
        level=parse_service_level(slo) if slo is not None else None,
        profile=device,
        eager=_eager(asked=enforce_eager, here=inventory is None and hardware is None),
    )
    if form in (Format.vllm, Format.helm, Format.ray):
        sys.stdout.write(_rendered(chosen, form, model_path))
        return
    predictions = predict_plan(chosen, entry, target, profile=device)
    run = None if measured is None else _beside(measured, lambda case: predict_plan(chosen, entry, target, profile=device, case=case))
    if as_json or form is Format.json:
        told = {"predictions": [each.model_dump(mode="json") for each in predictions.cases], "predictions_reason": predictions.reason}
        told |= {"beside_run": [row.model_dump(mode="json") for row in run]} if run is not None else {}
        print_json({**chosen.model_dump(mode="json"), "vllm_arguments": chosen.vllm_arguments(), "environment": chosen.environment(), **told})
        return
    _print_plan(chosen, predictions, memory_class=target.memory_class)
    if run is not None:
        _print_beside(run)


def _beside(folder: Path, predicted: "Callable[[tuple[int, int]], Predictions]") -> "tuple[Beside, ...]":
    """The run's rates beside the ceilings for as many requests at a time, of as many tokens, as it had on average.

    Requests at a time by Little's law: arrivals a second x seconds a request. StackproofError when the run has no such figures.
    """
    from pydantic import ValidationError

    from bench.results.files import SUMMARY
    from bench.results.summary import Summary
    from stack.serving.prediction import beside

    try:
        summary = Summary.model_validate_json((folder / SUMMARY).read_bytes())
    except OSError as error:
        raise StackproofError(f"--measured {folder}: {SUMMARY} cannot be read: {error.strerror}: name the folder that `bench run --out` wrote") from None
    except ValidationError:
        raise StackproofError(f"--measured {folder}: {SUMMARY} is none of this version: run the benchmark again") from None
    rates, whole = summary.rates, summary.metrics.e2e_ms.mean
    if not rates.requests_per_s or not whole or rates.output_tokens_per_s is None or rates.input_tokens_per_s is None:
        raise StackproofError(f"--measured {folder}: the run has no rate of requests and tokens to set beside the plan")
    tokens = (rates.input_tokens_per_s + rates.output_tokens_per_s / 2) / rates.requests_per_s
    cases = predicted((max(1, round(rates.requests_per_s * whole / 1000)), max(1, round(tokens)))).cases
    if not cases:
        raise StackproofError("--measured: nothing is predicted for this device: give --profile")
    return beside(cases[0], output_tokens_per_s=rates.output_tokens_per_s, input_tokens_per_s=rates.input_tokens_per_s)


def _print_beside(rows: "tuple[Beside, ...]") -> None:
    from stack.serving.prediction import used_share

    told = [(row.what, f"{row.predicted_tokens_per_s:,.1f}", f"{row.measured_tokens_per_s or 0:,.1f}", f"{row.ratio or 0:.1%}") for row in rows]
    print_table(("", "at most, tokens/s (computed)", "measured, tokens/s", "of it"), told, title="The run beside the ceilings for its load")
    typer.echo(f"decode and prefill together would have kept an ideal engine busy {used_share(rows) or 0:.0%} of the time")


def _eager(*, asked: bool, here: bool) -> str | None:
    """Why the model is not compiled, if it is not; of another machine nobody knows what it lacks."""
    from stack.serving.compiler import why_no_compiler
    from stack.serving.plan import EAGER_ASKED

    if asked:
        return EAGER_ASKED
    return why_no_compiler() if here else None


def _hardware(inventory: Path | None, hardware: str | None) -> "Hardware":
    from stack.hardware_profiles import Inventory, collect_inventory
    from stack.runtime.errors import describe_validation
    from stack.serving.plan import catalog_hardware, inventory_hardware

    if inventory is not None and hardware is not None:
        raise StackproofError("--inventory and --hardware name two machines: leave one out")
    if hardware is not None:
        return catalog_hardware(hardware)
    if inventory is None:
        return inventory_hardware(collect_inventory())
    from pydantic import ValidationError

    try:
        return inventory_hardware(Inventory.model_validate_json(inventory.read_bytes()))
    except OSError as error:
        raise StackproofError(f"--inventory {inventory}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise StackproofError(describe_validation(error, source=str(inventory))) from None


def _rendered(chosen: "EnginePlan", form: Format, model_path: Path | None) -> str:
    if form is Format.vllm:
        import shlex

        return f"{shlex.join(chosen.vllm_arguments())}\n"
    if form is Format.ray:
        from stack.serving.ray_serve import MODEL_PATH, serve_yaml

        return serve_yaml(chosen, model_path=str(model_path.absolute()) if model_path is not None else MODEL_PATH)
    from stack.serving import load_policy
    from stack.serving.helm_values import chart_values, values_yaml

    return values_yaml(chart_values(chosen, load_policy()))


def _print_plan(chosen: "EnginePlan", predictions: "Predictions", *, memory_class: str) -> None:
    import shlex

    print_table(("choice", "value", "why"), [(each.choice, each.value, each.why) for each in chosen.reasons], title=f"{chosen.model} on {chosen.device_name}")
    each = " on each device" if chosen.parallel.devices > 1 else ""
    typer.echo(f"memory{each}: {chosen.memory.in_words()} ({memory_class}), {chosen.memory.left_bytes / 2**30:.2f} GiB left")
    typer.echo(f"vllm {shlex.join(chosen.vllm_arguments())}")
    if not predictions.cases:
        typer.echo(f"no prediction: {predictions.reason}")
        return
    rows = [
        (each.batch, each.context_tokens, f"{each.decode_tokens_per_s:,.1f}", each.decode_bound, f"{each.prefill_tokens_per_s:,.0f}")
        for each in predictions.cases
    ]
    first = predictions.cases[0]
    title = f"Of one engine, computed from {first.rates_class} rates of a device"
    print_table(("sequences", "context", "decode tokens/s at most", "bound by", "prefill tokens/s at most"), rows, title=title)
    typer.echo(f"from {first.bandwidth_from} and {first.operations_from}: {first.source}")
    for doubt in first.doubts:
        typer.echo(f"doubt: {doubt}")
