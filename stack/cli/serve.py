"""`stackproof serve`: the model of a plan behind the gateway, until it is told to stop."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from stack.serving.session import Session

POLL_S = 0.5


def serve(
    *,
    model: Annotated[str, typer.Option("--model", help="Name of a model in the catalog.")] = "smollm2-135m-instruct",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1 that clients connect to.")] = 8000,
    engine_port: Annotated[
        int | None, typer.Option("--engine-port", min=1, max=65535, help="Port of the engine behind the gateway; a free one by default.")
    ] = None,
    run_dir: Annotated[Path | None, typer.Option("--run-dir", help="Folder for logs, configuration and keys; in the cache by default.")] = None,
    gateway: Annotated[bool, typer.Option("--gateway/--no-gateway", help="Put Envoy in front, or serve the bare engine on --port.")] = True,
    policy: Annotated[Path | None, typer.Option("--policy", help="YAML file that says what may pass the gateway; a strict one ships.")] = None,
    max_model_len: Annotated[int | None, typer.Option("--max-model-len", help="Shorten the context to this many tokens.")] = None,
    evidence: Annotated[Path | None, typer.Option("--evidence", help="Write signed records of the model and of the service to this folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a model: plan, verified weights, vLLM, gateway. Ctrl-C or SIGTERM stops all of it.

    With --json, one line on stdout when a completion came through: gateway_url, engine_url, model, api_key_file.
    """
    from stack.runtime.progress import Reporter
    from stack.serving.policy import load_policy
    from stack.serving.session import serve_session

    reporter = Reporter()
    rules = load_policy(policy)
    with serve_session(
        model,
        run_dir=run_dir,
        port=port,
        engine_port=engine_port,
        gateway=gateway,
        policy=rules,
        max_model_len=max_model_len,
        reporter=reporter,
    ) as session:
        if evidence is not None:
            _write_evidence(session, evidence)
        if as_json:
            print_json(session.public(), indent=None)
        else:
            # Plain lines: a table would break the paths that are there to be copied.
            for name, value in {**session.public(), "logs": str(session.run_dir), "ready_after": f"{session.ready_s:.1f} s"}.items():
                typer.echo(f"{name:<13} {value}")
            typer.echo("\n" + _curl(session.gateway_url, session.model, session.api_key_file))
        try:
            while True:
                session.check()
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            reporter.say("stopping")


def _write_evidence(session: "Session", folder: Path) -> None:
    from stack.evidence import EvidenceStore
    from stack.serving.evidence import model_evidence, serving_evidence

    store = EvidenceStore(folder)
    for draft, artifacts in (model_evidence(session.catalog, session.manifest), serving_evidence(session)):
        store.write(draft, artifacts)


def _curl(url: str, model: str, key_file: Path) -> str:
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "What is the capital of Kenya?"}}], "max_tokens": 32}}'
    return f"curl -s {url}/v1/chat/completions -H \"Authorization: Bearer $(cat '{key_file}')\" -H 'Content-Type: application/json' -d '{body}'"
