"""Looks after a served deployment while it lasts: its status, its logs, restarts in turn, and an end without a failed request (edge)."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from stack.runtime.errors import StackproofError
from stack.runtime.logs import rotate
from stack.serving.budget_file import read_day
from stack.serving.budgets import TenantBudget, budget_rows
from stack.serving.envoy_process import BUDGETS_FILE
from stack.serving.errors import ServingError
from stack.serving.fleet import Keeper, SessionStatus
from stack.serving.fleet.gateway_admin import GatewayAdmin, Upstream
from stack.serving.fleet.status import PartStatus, write_status
from stack.serving.keys import read_keys
from stack.serving.pools import PoolSpec
from stack.serving.session import POLICY_SERVICE, Session

STATUS_EVERY_S = 2.0
POLL_S = 0.2
ACCESS_LOG_BYTES = 64 << 20
ACCESS_LOGS_KEPT = 4
HASHED_KEYS = "keys.json"
"""Of the run folder: whom the gateway lets in."""
MOST_BUDGETS = 100
"""Tenants in the status; with more it says how many are left out."""


class Supervisor:
    """Call `turn` a few times a second until the session shall end, then `drain`."""

    def __init__(self, session: Session, say: Callable[[str], None]) -> None:
        self._session, self._say = session, say
        self._admin = session.admin()
        self._written = 0.0
        self._states: tuple[object, ...] = ()
        self._restarting: threading.Thread | None = None
        self._doing: str | None = None
        self._restart_error: str | None = None
        self._restarts_begun = 0

    def turn(self) -> None:
        """PartEndedError when something is given up without which nothing is served."""
        self._session.check()
        states = (*((keeper.state, keeper.restarts) for keeper in self._session.keepers), self._doing, self._restarts_begun)
        if states != self._states or time.monotonic() - self._written >= STATUS_EVERY_S:
            self._tell_changes(states)
            write_status(self.status())
            self._written, self._states = time.monotonic(), states
        self._rotate_access_log()

    def status(self) -> SessionStatus:
        session, upstreams = self._session, self._upstreams()
        engines = [
            _part("engine", session.fleet.keepers[engine.name], pool, session.fleet.addresses[engine.name], upstreams)
            for pool in session.pools
            for engine in pool.engines
        ]
        others = [_part("policy service" if keeper.name == POLICY_SERVICE else "gateway", keeper) for keeper in session.parts]
        budgets = self._budgets()
        return SessionStatus(
            pid=os.getpid(),
            written=time.time(),
            gateway_url=session.gateway_url,
            api_key_file=str(session.api_key_file),
            run_dir=str(session.run_dir),
            restarting=self._doing,
            restarts_begun=self._restarts_begun,
            restart_error=self._restart_error,
            parts=(*engines, *others),
            budgets=budgets[:MOST_BUDGETS],
            budgets_left_out=len(budgets[MOST_BUDGETS:]),
        )

    def restart_in_turn(self) -> None:
        """In the background; asked for again meanwhile, nothing more happens."""
        if self._restarting is not None and self._restarting.is_alive():
            self._say("a restart is under way already")
            return
        if self._admin is None:
            self._say("there is no gateway to keep requests away from an engine that restarts")
            return
        self._doing, self._restart_error = "beginning", None
        self._restarts_begun += 1
        self._restarting = threading.Thread(target=self._restart, args=(self._admin,), daemon=True)
        self._restarting.start()

    def drain(self) -> None:
        """No new connections; waits for the requests under way, as long as the policy's `drain_s`."""
        policy = self._session.policy
        if self._admin is None or policy is None:
            return
        try:
            self._admin.stop_listening()
            deadline = time.monotonic() + policy.timeouts.drain_s
            while (left := self._admin.active_requests()) and time.monotonic() < deadline:
                time.sleep(POLL_S)
        except ServingError:  # a gateway that is gone has no requests
            return
        if left:
            self._say(f"{left} requests did not end within {policy.timeouts.drain_s:g} s and are cut off")

    def _restart(self, admin: GatewayAdmin) -> None:
        policy = self._session.policy
        assert policy is not None
        try:
            self._session.fleet.restart_in_turn(admin, longest_s=policy.timeouts.response_s, say=self._note)
        except StackproofError as error:
            self._restart_error = str(error)
            self._say(f"the restart stopped: {error}")
        finally:
            self._doing = None

    def _note(self, words: str) -> None:
        self._doing = words
        self._say(words)

    def _tell_changes(self, states: tuple[object, ...]) -> None:
        """What died, and what became of it, in a line each."""
        for keeper, now, before in zip(self._session.keepers, states, self._states, strict=False):
            if now != before and keeper.last_error and keeper.state in {"waiting to start again", "failed"}:
                self._say(f"{keeper.name} is {keeper.state}: {keeper.last_error}")

    def _budgets(self) -> tuple[TenantBudget, ...]:
        policy, folder = self._session.policy, self._session.run_dir
        if policy is None or not policy.daily:
            return ()
        try:
            state, keys = read_day(folder / BUDGETS_FILE), read_keys(folder / HASHED_KEYS).keys
        except ServingError:  # the policy service says so in its log
            return ()
        return budget_rows(policy.classes, state, {key.tenant: key.rate_class for key in keys}, time.time())

    def _upstreams(self) -> dict[str, Upstream]:
        try:
            return self._admin.upstreams() if self._admin is not None else {}
        except ServingError:
            return {}

    def _rotate_access_log(self) -> None:
        log = self._session.run_dir / "access.log"
        if self._admin is not None and _bytes(log) > ACCESS_LOG_BYTES:
            rotate(log, keep=ACCESS_LOGS_KEPT)
            self._admin.reopen_logs()


def _part(kind: str, keeper: Keeper, pool: PoolSpec | None = None, address: str | None = None, upstreams: dict[str, Upstream] | None = None) -> PartStatus:
    upstream = (upstreams or {}).get(address or "")
    running = keeper.child is not None and keeper.child.exit_status is None
    return PartStatus.model_validate(
        {
            "name": keeper.name,
            "kind": kind,
            "state": keeper.state.value,
            "since": keeper.since,
            "restarts": keeper.restarts,
            "last_error": keeper.last_error,
            "ready_in_s": round(keeper.started_in_s, 3) if keeper.started_in_s is not None else None,
            "memory_bytes": keeper.child.memory_bytes() if keeper.child is not None and running else None,
            "log": str(keeper.child.log) if keeper.child is not None else None,
            "model": pool.served_name if pool else None,
            "canary": pool.canary_of is not None if pool else None,
            "address": address,
            "requests_active": upstream.active if upstream else None,
            "requests_total": upstream.total if upstream else None,
            "requests_failed": upstream.failed if upstream else None,
            "healthy": upstream.healthy if upstream else None,
        }
    )


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
