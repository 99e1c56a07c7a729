"""Checks of a running engine: its door, its command line and environment, its version."""

import json
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from stack.security import floors, processes
from stack.security.checks.host import only_loopback
from stack.security.context import AuditContext, local_port
from stack.security.errors import CannotCheckError
from stack.security.report import Finding, Status, failed, passed, summarize
from stack.security.wire import ask

# Options and variables that open what must stay shut, each a way in that an advisory describes.
OPENING_OPTIONS = ("--trust-remote-code", "--enable-lora", "--allowed-local-media-path", "--enable-prompt-embeds", "--trust-request-chat-template")
OPENING_VARIABLES = (
    "VLLM_SERVER_DEV_MODE",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
    "VLLM_ALLOW_INSECURE_SERIALIZATION",
    "VLLM_TORCH_PROFILER_DIR",
    "PYTHONOPTIMIZE",
)
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
KEY_OPTION = re.compile(r"^--(api-?key|hf-?token|ssl-?keyfile-?password)(=|$)", re.IGNORECASE)
SHORTEST_SECRET = 8


def own_key_required(context: AuditContext) -> Finding:
    """The engine refuses requests without a key, and the client's key is not its key."""
    url = context.engine()
    body = _chat(context)
    attempts = {"without a key": {}, "with a made-up key": {"Authorization": "Bearer sp-made-up"}}
    faults = []
    if context.api_key_file is not None and context.gateway_url != context.engine_url:
        attempts["with the client's key"] = {"Authorization": f"Bearer {context.api_key()}"}
    for how, headers in attempts.items():
        for method, path, content in (("GET", "/v1/models", None), ("POST", "/v1/chat/completions", body)):
            status = ask(url, method, path, headers={"Content-Type": "application/json", **headers}, body=content).status
            faults += [] if status == 401 else [f"{method} {path} {how} is answered {status}"]
    return summarize(faults, good=f"401 {', '.join(attempts)}")


def engine_on_loopback(context: AuditContext) -> Finding:
    """Also its workers' sockets: they speak to each other without a key."""
    return only_loopback(_engine(context))


def nothing_opened(context: AuditContext) -> Finding:
    servers = _engine(context)
    told = _environments(servers)
    faults = []
    for server in servers:
        options = {argument.partition("=")[0] for argument in processes.command_line(server)}
        faults += [f"process {server.pid} runs with {option}" for option in OPENING_OPTIONS if option in options]
    for pid, variables in told.items():
        faults += [f"process {pid} has {name}={variables[name]}" for name in OPENING_VARIABLES if variables.get(name, "0") not in {"", "0"}]
    return summarize(faults, good=f"no development mode, remote code or run-time adapters{_seen(told, servers)}")


def kept_offline(context: AuditContext) -> Finding:
    servers = _engine(context)
    told = _environments(servers)
    faults = [f"process {pid} lacks {name}={value}" for pid, variables in told.items() for name, value in OFFLINE.items() if variables.get(name) != value]
    return summarize(faults, good=f"{', '.join(OFFLINE)} are set{_seen(told, servers)}")


def no_secret_in_arguments(context: AuditContext) -> Finding:
    """Arguments are readable by every user of the machine: no key option, and no value of a key we know of."""
    servers = _engine(context) + (processes.serving(local_port(context.gateway()), what="gateway") if context.gateway_url else [])
    secrets = _known_secrets(context)
    faults = []
    for server in servers:
        arguments = processes.command_line(server)
        faults += [f"process {server.pid} has the option {argument.partition('=')[0]}" for argument in arguments if KEY_OPTION.match(argument)]
        faults += [f"process {server.pid} has a key among its arguments" for secret in secrets if any(secret in argument for argument in arguments)]
    return summarize(faults, good=f"no key option and none of {len(secrets)} known keys in the arguments of {len(servers)} processes")


def versions_at_floor(context: AuditContext) -> Finding:
    """Against a dated table of advisories: one that was not reviewed for long proves nothing."""
    table = floors.load_floors()
    found = {"vllm": _engine_version(context), "torch": _installed("torch"), "ray": _installed("ray")}
    low = {name: floor for name, floor in table.floors.items() if floors.below(found[name], floor.version)}
    if low:
        return failed("; ".join(f"{name} {found[name]} is below {floor.version} ({floor.because})" for name, floor in low.items()))
    age_days = (context.today - table.reviewed).days
    if age_days > table.max_age_days:
        stale = f"stale: the table was reviewed {age_days} days ago, and holds for {table.max_age_days}"
        return Finding(status=Status.UNKNOWN, observed=stale, detail="review the advisories and date the table anew")
    return passed(", ".join(f"{name} {number}" for name, number in found.items()) + f" at or above the floors of {table.reviewed}")


def _engine(context: AuditContext) -> list[psutil.Process]:
    return processes.serving(local_port(context.engine()), what="engine")


def _environments(servers: list[psutil.Process]) -> dict[int, dict[str, str]]:
    """By process. vLLM's workers write their title over theirs, so that only what they inherited it from can be read."""
    told = {server.pid: variables for server in servers if (variables := processes.environment(server))}
    if not told:
        raise CannotCheckError("no process of the engine shows its environment")
    return told


def _seen(told: dict[int, dict[str, str]], servers: list[psutil.Process]) -> str:
    return f" in {len(told)} of {len(servers)} processes" + ("; the others inherit theirs and hide it" if len(told) < len(servers) else "")


def _chat(context: AuditContext) -> bytes:
    return json.dumps({"model": context.catalog.name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}).encode()


def _engine_version(context: AuditContext) -> str:
    """As the engine says itself."""
    try:
        told: Any = json.loads(ask(context.engine(), "GET", "/version").body)
        return str(told["version"])
    except (ValueError, TypeError, KeyError):
        raise CannotCheckError("the engine does not tell its version") from None


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        raise CannotCheckError(f"{name} is not installed where the audit runs") from None


def _known_secrets(context: AuditContext) -> list[str]:
    """Contents of the key files of the session, for comparison only."""
    files = {*([context.api_key_file] if context.api_key_file else []), *(context.run_dir.glob("*.key") if context.run_dir else [])}
    try:
        found = {path.read_text().strip() for path in files}
    except (OSError, UnicodeDecodeError) as error:
        raise CannotCheckError(f"a key file cannot be read: {error}") from None
    return sorted(secret for secret in found if len(secret) >= SHORTEST_SECRET)
