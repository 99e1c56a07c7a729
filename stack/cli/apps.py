"""`stackproof apps`: the sector apps."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json, print_table
from stack.cli.places import EvidenceOption, writable_folder

if TYPE_CHECKING:
    from stack.apps import Evaluation

app = typer.Typer(no_args_is_help=True, help="Run the sector apps, and score each on its own questions.")

AppArgument = Annotated[str, typer.Argument(metavar="APP", help="Name of an app (`stackproof apps list`).")]
KeyOption = Annotated[Path | None, typer.Option("--api-key-file", metavar="FILE", help="File that holds the endpoint's API key.")]
CaOption = Annotated[Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM certificates to trust for https instead of the public authorities'.")]
ModelOption = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Model to ask for. Default: the first one the endpoint serves.")]


@app.command("list")
def list_apps(as_json: JsonOption = False) -> None:
    """Show the apps that come with stackproof."""
    from stack.apps import APPS

    if as_json:
        print_json([{"name": each.name, "sector": each.sector, "title": each.title} for each in APPS])
        return
    print_table(("app", "sector", "title"), [(each.name, each.sector, each.title) for each in APPS])


@app.command("eval")
def evaluate(
    name: AppArgument,
    *,
    url: Annotated[str, typer.Option("--url", help="Base address of the chat endpoint, e.g. http://127.0.0.1:8000.")],
    api_key_file: KeyOption = None,
    ca_file: CaOption = None,
    model: ModelOption = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", callback=writable_folder, help="Folder for predictions.jsonl and app_score.json.")] = Path(
        "out/app"
    ),
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Ask only N questions, spread evenly over their kinds.")] = None,
    evidence: EvidenceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an app's questions to a model and score the answers, beside a baseline that uses no model."""
    from stack.apps import evaluate_app, find_app
    from stack.pipelines import find_endpoint
    from stack.serving.chat import read_key
    from stack.serving.trust import trusting

    find_app(name)
    endpoint = find_endpoint(url, api_key_file=api_key_file, ca_file=ca_file, model=model)
    key, tls = read_key(endpoint.api_key_file), trusting(endpoint.ca_file)
    done = asyncio.run(evaluate_app(name, url=endpoint.url, api_key=key, tls=tls, model=endpoint.model, out=out, limit=limit))
    if evidence is not None:
        from stack.apps.evidence import draft
        from stack.evidence import EvidenceStore

        EvidenceStore(evidence).write(*draft(done))
    if as_json:
        figures = {figure.name: figure.value for figure in done.figures}
        print_json({"app": name, "model": done.model, "out": str(out), "seconds": round(done.seconds, 3), "figures": figures, **done.results})
    else:
        _show(done)


@app.command()
def serve(
    name: AppArgument,
    *,
    url: Annotated[str | None, typer.Option("--url", help="Base address of the chat endpoint. Without it questions are read by rules alone.")] = None,
    api_key_file: KeyOption = None,
    ca_file: CaOption = None,
    model: ModelOption = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1 for the page.")] = 8600,
) -> None:
    """Serve an app's page on this machine until Ctrl-C. When the model is down the page goes on, by rules alone."""
    from stack.apps import find_app
    from stack.apps.transit.web import serve_page
    from stack.pipelines import find_endpoint
    from stack.runtime.net import LOOPBACK, require_free
    from stack.serving.chat import ChatClient, read_key
    from stack.serving.trust import trusting

    find_app(name)
    require_free(LOOPBACK, port, option="--port")
    client = None
    if url is not None:
        # A named model need not answer yet: the page starts before it, and asks it as soon as it is up.
        named = model or find_endpoint(url, api_key_file=api_key_file, ca_file=ca_file).model
        # One try and a short wait: who waits for a page is better served by the rules than by a late model.
        client = ChatClient(url, named, read_key(api_key_file), attempts=1, timeout_s=20.0, tls=trusting(ca_file))
    typer.echo(f"{name}: http://{LOOPBACK}:{port} (Ctrl-C stops it)")
    serve_page(client, host=LOOPBACK, port=port)


def _show(done: "Evaluation") -> None:
    values = {figure.name.removeprefix(f"{done.app.name}."): figure.value for figure in done.figures}
    scores = dict.fromkeys(name.split(".")[0] for name in values if "." in name)
    rows = [(score.replace("_", " "), *(_interval(values, f"{score}.{who}") for who in ("model", "baseline"))) for score in scores]
    print_table(("score", f"with {done.model}", "without a model"), rows, title=done.app.title)
    kinds = done.results["slots_right_by_kind"]
    print_table(("kind of question", "questions", "right with the model", "right without"), [(kind, *row.values()) for kind, row in kinds.items()])
    typer.echo(f"{values['questions']} questions in {done.seconds:.1f} s; {values['prompt_tokens']} tokens read and {values['completion_tokens']} written")
    typer.echo(f"predictions: {done.out / 'predictions.jsonl'}")


def _interval(values: dict[str, float | int | str | bool | None], name: str) -> str:
    share, low, high = (values[key] for key in (name, f"{name}.low", f"{name}.high"))
    return f"{share:.3f} ({low:.3f} to {high:.3f})"
