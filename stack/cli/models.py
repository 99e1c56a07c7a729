"""`stackproof models`: the catalog and the weights on this machine."""

from typing import Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="The model catalog, and the verified weights on this machine.")
NameArgument = Annotated[str, typer.Argument(help="Name of a model in the catalog (see `stackproof models list`).")]


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """Show the catalog: who made each model, under which licence, and whether its weights are here."""
    from stack.serving.models import load_catalog
    from stack.serving.weights import model_dir

    catalog = load_catalog().values()
    if as_json:
        print_json([{**model.model_dump(mode="json"), "pulled": model_dir(model.name).is_dir()} for model in catalog])
        return
    rows = [
        (
            model.name,
            model.publisher.name,
            model.publisher.country,
            model.licence.spdx or "own terms",
            f"{model.parameters.total / 1e6:.0f} M",
            "yes" if model_dir(model.name).is_dir() else "no",
        )
        for model in catalog
    ]
    print_table(("model", "publisher", "country", "licence", "size", "here"), rows)


@app.command()
def pull(name: NameArgument, as_json: JsonOption = False) -> None:
    """Verify a model's source, convert it once to safetensors, and keep it in the cache. A second pull is instant."""
    from stack.runtime.progress import Reporter
    from stack.serving.models import find_model
    from stack.serving.weights import model_dir, pull_model

    manifest = pull_model(find_model(name), Reporter())
    if as_json:
        print_json({**manifest.model_dump(mode="json"), "path": str(model_dir(name))})
        return
    typer.echo(f"{name}: {len(manifest.files)} files, {manifest.weights_bytes / 1e6:.1f} MB of weights in {model_dir(name)}")


@app.command()
def verify(name: NameArgument, as_json: JsonOption = False) -> None:
    """Hash every file of a pulled model again; exit status 1 names the first one that changed."""
    from stack.serving.models import find_model
    from stack.serving.weights import verify_model

    manifest = verify_model(find_model(name))
    if as_json:
        print_json({"model": name, "verified": True, "files": len(manifest.files), "source_sha256": manifest.source_sha256})
        return
    typer.echo(f"{name}: {len(manifest.files)} files are as they were pulled")
