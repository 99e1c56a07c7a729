"""`stackproof serve`: models behind the gateway, until it is told to stop."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stack.cli.eager import EagerOption
from stack.cli.output import JsonOption, print_json
from stack.cli.places import evidence_folder, writable_folder

if TYPE_CHECKING:
    from stack.runtime.progress import Reporter
    from stack.serving.deployment import Deployment
    from stack.serving.endpoint import Endpoint
    from stack.serving.policy import GatewayPolicy
    from stack.serving.session import Session

POLL_S = 0.25
DEFAULT_MODEL = "smollm2-135m-instruct"


def serve(
    *,
    model: Annotated[str | None, typer.Option("--model", help=f"Name of a model in the catalog; {DEFAULT_MODEL} by default.")] = None,
    replicas: Annotated[int, typer.Option("--replicas", min=1, max=64, help="Engines with that model, which share the hardware equally.")] = 1,
    deployment: Annotated[
        Path | None, typer.Option("--deployment", help="YAML file that names several models, their engines and a canary; in place of --model.")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1 that clients connect to.")] = 8000,
    engine_port: Annotated[
        int | None, typer.Option("--engine-port", min=1, max=65535, help="Port of the first engine behind the gateway; a free one by default.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", callback=writable_folder, help="Folder for logs, configuration and keys; in the cache by default.")
    ] = None,
    gateway: Annotated[bool, typer.Option("--gateway/--no-gateway", help="Put Envoy in front, or serve the bare engine on --port.")] = True,
    policy: Annotated[Path | None, typer.Option("--policy", help="YAML file that says what may pass the gateway; a strict one ships.")] = None,
    max_model_len: Annotated[int | None, typer.Option("--max-model-len", help="Shorten the context to this many tokens.")] = None,
    enforce_eager: EagerOption = False,
    engine_url: Annotated[
        str | None, typer.Option("--engine-url", metavar="URL", help="Only the gateway, before an engine that runs already, as Ray Serve: http://HOST:PORT.")
    ] = None,
    engine_key: Annotated[Path | None, typer.Option("--engine-key", metavar="FILE", help="With --engine-url: the key that the engine wants.")] = None,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", callback=evidence_folder, help="Write signed records of the model and of the service to this folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve models: plan, verified weights, vLLM, gateway. Ctrl-C or SIGTERM waits for open requests and stops all of it; a second one at once.

    An engine that dies is started again. SIGHUP, or `stackproof restart`, restarts the engines in turn. See `stackproof status`.

    With --json, one line on stdout when a completion came through: gateway_url, engine_url, model, api_key_file.
    """
    from stack.runtime.progress import Reporter
    from stack.serving.errors import ServingError
    from stack.serving.policy import load_policy
    from stack.serving.session import serve_deployment

    reporter = Reporter()
    rules = load_policy(policy)
    if engine_url is not None:
        ours = {
            "--replicas": replicas != 1,
            "--deployment": deployment is not None,
            "--engine-port": engine_port is not None,
            "--no-gateway": not gateway,
            "--max-model-len": max_model_len is not None,
            "--enforce-eager": enforce_eager,
            "--evidence": evidence is not None,
        }
        _no_engine_of_ours(ours)
        _only_in_front(engine_url, model or DEFAULT_MODEL, rules, engine_key=engine_key, run_dir=run_dir, port=port, as_json=as_json)
        return
    if engine_key is not None:
        raise ServingError("--engine-key: goes with --engine-url; engines that are started here get a key of their own")
    with serve_deployment(
        _deployment(model, replicas, max_model_len, deployment, gateway=gateway, enforce_eager=enforce_eager),
        run_dir=run_dir,
        port=port,
        engine_port=engine_port,
        gateway=gateway,
        policy=rules,
        reporter=reporter,
        supervised=True,
    ) as session:
        if evidence is not None:
            _write_evidence(session, evidence)
        _tell(session, as_json=as_json)
        _look_after(session, reporter)


def _tell(session: "Endpoint", *, as_json: bool) -> None:
    if as_json:
        print_json(session.public(), indent=None)
        return
    # Plain lines: a table would break the paths that are there to be copied.
    for name, value in {**session.public(), "logs": str(session.run_dir), "ready_after": f"{session.ready_s:.1f} s"}.items():
        typer.echo(f"{name:<13} {value}")
    typer.echo("\n" + _curl(session.gateway_url, session.model, session.api_key_file))


def _no_engine_of_ours(given: dict[str, bool]) -> None:
    """ServingError when an option that shapes engines, by whether it was given, comes with one that runs already."""
    from stack.serving.errors import ServingError

    if names := [name for name, was_given in given.items() if was_given]:
        raise ServingError(f"--engine-url: that engine runs already: leave {', '.join(names)} out")


def _only_in_front(url: str, model: str, policy: "GatewayPolicy", *, engine_key: Path | None, run_dir: Path | None, port: int, as_json: bool) -> None:
    """Until Ctrl-C or SIGTERM; PartEndedError when a part of the gateway ends before."""
    from stack.serving.in_front import serve_in_front

    with serve_in_front(url, model, policy, engine_key=engine_key, run_dir=run_dir, port=port) as served:
        _tell(served, as_json=as_json)
        try:
            while True:
                served.check()
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            return


def _deployment(model: str | None, replicas: int, max_model_len: int | None, file: Path | None, *, gateway: bool, enforce_eager: bool) -> "Deployment":
    """From a file, or one model from the options; ServingError when both are given, or several engines without a gateway."""
    from stack.serving.deployment import DeployedModel, Deployment, load_deployment
    from stack.serving.errors import ServingError

    if max_model_len is not None and max_model_len < 1:
        raise ServingError(f"--max-model-len: must be at least 1, got {max_model_len}")
    if file is None:
        one = DeployedModel(model=model or DEFAULT_MODEL, replicas=replicas, max_model_len=max_model_len, enforce_eager=enforce_eager)
        found = Deployment(models=(one,))
    elif model is not None or replicas != 1 or max_model_len is not None or enforce_eager:
        names = "--model, --replicas, --max-model-len and --enforce-eager"
        raise ServingError(f"--deployment: the file says which models, how many engines, which context and what is compiled: leave {names} out")
    else:
        found = load_deployment(file)
    if found.engines > 1 and not gateway:
        raise ServingError("--no-gateway: several engines need the gateway in front of them")
    return found


def _look_after(session: "Session", reporter: "Reporter") -> None:
    from stack.serving.supervise import Supervisor

    supervisor = Supervisor(session, reporter.say)
    with _on_hangup(supervisor.restart_in_turn):
        try:
            while True:
                supervisor.turn()
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            reporter.say("stopping: waiting for open requests (again to stop at once)")
            supervisor.drain()


@contextmanager
def _on_hangup(act: Callable[[], None]) -> Iterator[None]:
    previous = signal.signal(signal.SIGHUP, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, previous)


def _write_evidence(session: "Session", folder: Path) -> None:
    from stack.evidence import EvidenceStore
    from stack.serving.evidence import model_evidence, serving_evidence

    store = EvidenceStore(folder)
    for draft, artifacts in (model_evidence(session.catalog, session.manifest), serving_evidence(session)):
        store.write(draft, artifacts)


def _curl(url: str, model: str, key_file: Path) -> str:
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "What is the capital of Kenya?"}}], "max_tokens": 32}}'
    return f"curl -s {url}/v1/chat/completions -H \"Authorization: Bearer $(cat '{key_file}')\" -H 'Content-Type: application/json' -d '{body}'"
