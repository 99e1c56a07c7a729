"""The checks: each looks at one thing of an `AuditContext` and returns a `Finding`.

A check that cannot see what it needs raises CannotCheckError, which the audit turns into `unknown`. Checks
are named by function in the catalog; `CHECKS` is the list of them all.
"""

from collections.abc import Callable

from stack.security.checks import engine, gateway, host, models
from stack.security.context import AuditContext
from stack.security.report import Finding

Check = Callable[[AuditContext], Finding]

CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        host.signing_key_private,
        host.address_space_random,
        host.no_core_dumps,
        host.servers_not_root,
        host.gateway_on_loopback,
        host.private_folders,
        models.files_as_pulled,
        models.no_pickle,
        models.no_code,
        models.headers_sane,
        models.licence_known,
        engine.own_key_required,
        engine.engine_on_loopback,
        engine.nothing_opened,
        engine.kept_offline,
        engine.no_secret_in_arguments,
        engine.versions_at_floor,
        gateway.key_required,
        gateway.wrong_key_refused,
        gateway.unlisted_routes_absent,
        gateway.paths_not_reinterpreted,
        gateway.framing_unambiguous,
        gateway.dangerous_fields_refused,
        gateway.body_size_limited,
        gateway.answers_leak_nothing,
        gateway.log_keeps_no_prompt,
        gateway.keys_stored_hashed,
    )
}
