"""The policy service: Envoy asks it about every request, and only its 200 lets one through.

`python -m stack.serving.authz --policy FILE --keys FILE --engine-key FILE --socket PATH` (or `--port`).
It sees method, path, `authorization` and the whole body; it answers 4xx with the reason as plain text (Envoy
puts it into the API's error shape), or 200 with the tenant, the engine's own credential, which replaces the
client's, and the tenant's cache salt. It prints nothing of a request. Responses never pass through it: Envoy
reports how a request ended where a limit or the metrics count on it.
"""

import argparse
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from stack.runtime.errors import StackproofError
from stack.runtime.net import LOOPBACK
from stack.serving.audit_log import AuditLog
from stack.serving.budget_file import kept_budgets
from stack.serving.chat import read_key
from stack.serving.decisions import BodyRedactor, Decider
from stack.serving.errors import ServingError
from stack.serving.keys import watch_keys
from stack.serving.listed import read_listed
from stack.serving.metrics import GatewayMetrics, serve_metrics
from stack.serving.policy import GatewayPolicy, load_policy
from stack.serving.policy_app import build_answerer
from stack.serving.policy_server import serve
from stack.serving.tokens import watch_key_set


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m stack.serving.authz", description=__doc__)
    for name in ("--policy", "--keys", "--engine-key"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--socket", type=Path, help="listen on this UNIX socket")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, help="listen on this port instead of a socket")
    parser.add_argument("--audit-log", type=Path, help="append a line per decision to this file; see `stackproof secure verify-log`")
    parser.add_argument("--budgets", type=Path, help="keep what tenants used today in this file; needed where the policy has daily budgets")
    parser.add_argument("--models", type=Path, help="JSON list of the models served, where they are several")
    options = parser.parse_args(argv)
    try:
        engine_key = read_key(options.engine_key)
        if not engine_key:
            raise ServingError(f"engine key file {options.engine_key} is empty")
        policy = load_policy(options.policy)
        audit = AuditLog(options.audit_log) if options.audit_log else None
        models = read_listed(options.models) if options.models else ()
        scraped = policy.metrics.policy_service
        metrics = GatewayMetrics(policy) if scraped else None
        keys, redactors = watch_keys(options.keys, policy.classes), _redactors(policy)
        with ExitStack() as stack:
            budgets = stack.enter_context(kept_budgets(options.budgets, policy))
            decider = Decider(policy, keys, engine_key, audit=audit, models=models, metrics=metrics, redactors=redactors, budgets=budgets)
            answerer = build_answerer(decider, tuple(watch_key_set(Path(issuer.key_set)) for issuer in policy.issuers))
            if metrics is not None and scraped is not None:
                stack.enter_context(serve_metrics(metrics, scraped))
            serve(answerer, socket=options.socket, host=options.host, port=options.port or 0)
    except StackproofError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_status
    return 0


def _redactors(policy: GatewayPolicy) -> Mapping[str, BodyRedactor]:
    if not policy.redacts:
        return {}
    # Numbering plans of the world take 3.5 MB that other gateways have no use for.
    from stack.serving.redaction import build_redactors

    return build_redactors(policy)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
