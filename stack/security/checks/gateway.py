"""Checks of a running gateway, by requests of the kinds that got past gateways before.

A refusal proves something only where a good request is served, so that is tried first each time.
"""

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stack.security.checks import corpus
from stack.security.context import AuditContext
from stack.security.errors import CannotCheckError
from stack.security.report import Finding, failed, summarize, verdict
from stack.security.wire import Answer, ask, send
from stack.serving import ServingError, load_policy
from stack.serving.keys import read_keys

CHAT = "/v1/chat/completions"
POLICY_FILE = "policy.yaml"
KEYS_FILE = "keys.json"
ACCESS_LOG = "access.log"
LOG_WAIT_S = 5.0


def key_required(context: AuditContext) -> Finding:
    _serves(context)
    faults = [f"{method} {path} without a key is answered {answer.status}" for method, path, answer in _tries(context, {}) if answer.status != 401]
    return summarize(faults, good="401 without a key, 200 with one")


def wrong_key_refused(context: AuditContext) -> Finding:
    """Forms that a careless comparison lets through; the true key's parts must not do either."""
    _serves(context)
    key = context.api_key()
    forms = {
        "another key": f"Bearer sp-{secrets.token_urlsafe(32)}",
        "an empty key": "Bearer ",
        "the scheme alone": "Bearer",
        "half of the key": f"Bearer {key[: len(key) // 2]}",
        "the key and one letter": f"Bearer {key}x",
        "the key twice": f"Bearer {key}, Bearer {key}",
        "the key with an encoded null byte": f"Bearer {key}%00",
        "the key by another scheme": f"Basic {key}",
        "the key without a scheme": key,
    }
    faults = []
    for what, value in forms.items():
        # A malformed header may be refused as such (400) before the key is looked at.
        faults += [f"{what} is answered {answer.status}" for *_, answer in _tries(context, {"Authorization": value}) if answer.status not in {400, 401}]
    return summarize(faults, good=f"{len(forms)} wrong forms of a key are refused")


def unlisted_routes_absent(context: AuditContext) -> Finding:
    """All routes of the engine that are not meant for clients, asked for with a valid key."""
    _serves(context)
    faults = []
    for method, path in corpus.UNLISTED_ROUTES:
        status = _ask(context, method, path, body=b"{}" if method == "POST" else None).status
        faults += [] if status == 404 else [f"{method} {path} is answered {status}"]
    for method in corpus.UNLISTED_METHODS:
        status = _ask(context, method, "/v1/models").status
        faults += [] if status in corpus.REFUSALS else [f"{method} /v1/models is answered {status}"]
    return summarize(faults, good=f"{len(corpus.UNLISTED_ROUTES)} routes of the engine do not exist here, {len(corpus.UNLISTED_METHODS)} methods are refused")


def paths_not_reinterpreted(context: AuditContext) -> Finding:
    """Other spellings of paths, allowed and not: each is refused, with a key and without."""
    _serves(context)
    faults = []
    for path in corpus.PATHS:
        for how, headers in (("with", _bearer(context)), ("without", {})):
            answer = ask(context.gateway(), "GET", path, headers=headers, trust=context.trust)
            faults += [] if answer.status in corpus.REFUSALS else [f"GET {path} {how} a key is answered {answer.status}"]
    return summarize(faults, good=f"{len(corpus.PATHS)} spellings of paths are refused")


def framing_unambiguous(context: AuditContext) -> Finding:
    """Requests that two parsers may cut at different places (request smuggling)."""
    _serves(context)
    faults = []
    for what, lines, body in corpus.framings(f"Bearer {context.api_key()}"):
        answer = send(context.gateway(), lines, body, trust=context.trust)
        faults += [] if answer.status in corpus.REFUSALS else [f"{what} is answered {answer.status}"]
    return summarize(faults, good="ambiguous framing is refused")


def dangerous_fields_refused(context: AuditContext) -> Finding:
    _serves(context)
    faults = []
    for what, fields in corpus.DANGEROUS_FIELDS.items():
        status = _ask(context, "POST", CHAT, body=_chat(context, **fields)).status
        faults += [] if status == 400 else [f"{what} is answered {status}"]
    return summarize(faults, good=f"{len(corpus.DANGEROUS_FIELDS)} dangerous or unbounded fields are answered 400")


def body_size_limited(context: AuditContext) -> Finding:
    _serves(context)
    limit = _body_limit(context)
    status = _ask(context, "POST", CHAT, body=_chat(context, user="x" * (limit + 1))).status
    return verdict(status == 413, f"a body of more than {limit} bytes is answered {status}")


def answers_leak_nothing(context: AuditContext) -> Finding:
    """Neither refusals, nor the engine's own errors, nor a good answer's headers tell what stands behind the gateway."""
    _serves(context)
    answers = {
        "401": _ask(context, "GET", "/v1/models", headers={}),
        "404": _ask(context, "GET", "/metrics"),
        "400": _ask(context, "POST", CHAT, body=_chat(context, prompt_embeds="x")),
        "not JSON": _ask(context, "POST", CHAT, body=b"{"),
        "an unknown model": _ask(context, "POST", CHAT, body=_chat(context, model="no-such-model")),
    }
    good = _ask(context, "POST", CHAT, body=_chat(context))
    marks = [*corpus.LEAKS, *([context.engine_url.partition("://")[2]] if context.engine_url else [])]
    faults = [f"{what}: {mark!r}" for what, answer in answers.items() for mark in marks if mark.lower() in answer.text.lower()]
    faults += [f"a good answer has the header {name}" for name, _ in good.headers if name in corpus.INNER_HEADERS or name.startswith("x-envoy-")]
    return summarize(faults, good=f"{len(answers)} kinds of error and the headers of an answer name no component, path or address")


def log_keeps_no_prompt(context: AuditContext) -> Finding:
    """A marked prompt and the client's key are in no file of the session; the request itself is in the access log."""
    run_dir = context.runs()
    canary, request_id = f"canary{secrets.token_hex(12)}", secrets.token_hex(8)
    answer = _ask(context, "POST", CHAT, body=_chat(context, messages=[{"role": "user", "content": canary}]))
    if not answer.ok:
        raise CannotCheckError(f"a good request was answered {answer.status}")
    told = dict(answer.headers).get("x-request-id", request_id)
    log = run_dir / ACCESS_LOG
    if not _appears(log, told):
        return failed("the access log does not have the request", f"{ACCESS_LOG}, request id of the answer")
    secret = context.api_key().encode()
    faults = [f"{path.name} has the prompt" for path in _files(run_dir) if canary.encode() in path.read_bytes()]
    faults += [f"{path.name} has the client's key" for path in _files(run_dir) if path.suffix != ".key" and secret in path.read_bytes()]
    return summarize(faults, good=f"the request is in {ACCESS_LOG}; neither its prompt nor its key is in any of {len(_files(run_dir))} files")


def keys_stored_hashed(context: AuditContext) -> Finding:
    path = context.runs() / KEYS_FILE
    if not path.exists():
        raise CannotCheckError(f"the session's folder has no {KEYS_FILE}")
    try:
        ring = read_keys(path)
    except ServingError as error:
        return failed(str(error))
    tenant = ring.tenant_of(context.api_key())
    if tenant is None:
        raise CannotCheckError(f"the client's key is not one of the {len(ring.keys)} in {KEYS_FILE}: another gateway's folder?")
    faults = [f"{KEYS_FILE} has the client's key itself"] if context.api_key() in path.read_text() else []
    key_files = [context.api_key_file, *context.runs().glob("*.key")]
    faults += [f"{file.name} can be read by others" for file in {each for each in key_files if each} if file.stat().st_mode & 0o077]
    return summarize(faults, good=f"{len(ring.keys)} keys are stored as SHA-256; key files have mode 0600")


def _serves(context: AuditContext) -> None:
    answer = _ask(context, "GET", "/v1/models")
    if not answer.ok:
        raise CannotCheckError(f"the gateway answers a good request with {answer.status or 'nothing'}: its refusals prove nothing")


def _bearer(context: AuditContext) -> dict[str, str]:
    return {"Authorization": f"Bearer {context.api_key()}"}


def _ask(context: AuditContext, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
    """With the client's key unless other headers are given."""
    typed = {"Content-Type": "application/json"} if body is not None else {}
    given = {**typed, **(_bearer(context) if headers is None else headers)}
    return ask(context.gateway(), method, path, headers=given, body=body, trust=context.trust)


def _tries(context: AuditContext, headers: Mapping[str, str]) -> Iterable[tuple[str, str, Answer]]:
    """One request of each kind."""
    yield "GET", "/v1/models", _ask(context, "GET", "/v1/models", headers=headers)
    yield "POST", CHAT, _ask(context, "POST", CHAT, headers=headers, body=_chat(context))


def _chat(context: AuditContext, **fields: Any) -> bytes:
    """The smallest request that the engine has to work for, with fields added or replaced."""
    smallest = {"model": context.catalog.name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    return json.dumps({**smallest, **fields}).encode()


def _body_limit(context: AuditContext) -> int:
    """Of the session's own policy where its folder was given, else of the default one."""
    path = context.run_dir / POLICY_FILE if context.run_dir else None
    return load_policy(path if path and path.exists() else None).limits.body_bytes


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _appears(log: Path, text: str) -> bool:
    """Whether a text comes up in a log that is written with a delay."""
    deadline = time.monotonic() + LOG_WAIT_S
    while time.monotonic() < deadline:
        if log.exists() and text in log.read_text(errors="replace"):
            return True
        time.sleep(0.1)
    return False
