"""All engines of a deployment, and what the gateway is told of them (edge)."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from stack.runtime.errors import StackproofError
from stack.runtime.files import write_atomic
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.errors import PartEndedError, ServingError
from stack.serving.fleet.gateway_admin import GatewayAdmin
from stack.serving.fleet.keeper import WATCH_S, Keeper, State
from stack.serving.gateway import endpoints_document
from stack.serving.pools import EngineSpec, PoolSpec
from stack.serving.vllm_process import explain_death

CORES_A_START = 4
"""An engine that starts on a processor takes about so many cores; two that start on fewer keep each other waiting."""
IN_SERVICE = frozenset({State.READY, State.DRAINING})

HEALTHY_WITHIN_S = 30.0
"""For the gateway to find a new engine healthy: it asks every few seconds."""

StartEngine = Callable[[EngineSpec, Callable[[], None]], Child]
PlaceBeside = Callable[[EngineSpec], tuple[EngineSpec, str]]
"""Where the same engine can run beside the given one, and at which address; ServingError saying why it cannot."""


@dataclass(frozen=True)
class _Arriving:
    """An engine that is to take the place of a running one."""

    engine: EngineSpec
    address: str
    keeper: Keeper


class Fleet:
    """Keeps every engine of `pools` running. `folder` holds the files that tell the gateway who takes requests."""

    def __init__(
        self,
        pools: tuple[PoolSpec, ...],
        addresses: dict[str, str],
        folder: Path,
        start: StartEngine,
        *,
        beside: PlaceBeside | None = None,
        must_surge: bool = False,
    ) -> None:
        """A pool's only engine is restarted by one that starts beside it, where `beside` finds a place, else stopped first, or with `must_surge` left alone."""
        self.pools, self.addresses, self._folder, self._start = pools, addresses, folder, start
        self._beside, self._must_surge = beside, must_surge
        self.engines = {engine.name: engine for pool in pools for engine in pool.engines}
        """As they run now, by the name that they keep."""
        self._arriving: dict[str, _Arriving] = {}
        self._ending = False
        on_cpu = pools[0].plan.device == "cpu"
        self._slots = threading.Semaphore(max(1, len(os.sched_getaffinity(0)) // CORES_A_START) if on_cpu else len(addresses))
        self._publishing = threading.Lock()
        self.keepers = {engine.name: self._keeper(pool, engine) for pool in pools for engine in pool.engines}

    def endpoints_file(self, pool: PoolSpec) -> Path:
        return self._folder / f"endpoints-{pool.name}.yaml"

    def start(self, reporter: Reporter) -> None:
        """Returns when every engine has completed a prompt; StackproofError when one does not, and the others are stopped by `stop`."""
        for keeper in self.keepers.values():
            keeper.start()
        for pool in self.pools:
            for engine in pool.engines:
                beside = f" ({engine.name})" if len(self.keepers) > 1 else ""
                compiling = ", compiled first; --enforce-eager leaves that out" if engine.plan.device == "cpu" and not engine.plan.enforce_eager else ""
                with reporter.step(f"Starting vLLM with {engine.plan.model} on {engine.plan.device}{beside}{compiling}") as step:
                    self.keepers[engine.name].wait(step.tick)

    def stop(self) -> None:
        with self._publishing:
            self._ending = True
            kept = [*self.keepers.values(), *(each.keeper for each in self._arriving.values())]
        threads = [threading.Thread(target=keeper.stop) for keeper in kept]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def check(self) -> None:
        """PartEndedError, in one line, when no engine of a pool is left to wait for."""
        for pool in self.pools:
            kept = [self.keepers[engine.name] for engine in pool.engines]
            if all(keeper.state is State.FAILED for keeper in kept):
                raise PartEndedError(kept[0].last_error or f"{kept[0].name} failed")

    def restart_in_turn(self, admin: GatewayAdmin, *, longest_s: float, say: Callable[[str], None]) -> None:
        """Each engine is drained, stopped and started again while the others of its pool answer. StackproofError when one does not come back.

        A request under way is waited for, `longest_s` at most. A pool's only engine goes on until one beside it has taken its place; where there is no room
        for that, nobody answers meanwhile.
        """
        for pool in self.pools:
            for engine in pool.engines:
                place, why = self._place(pool, engine)
                if place is not None:
                    self._replace(admin, pool, engine.name, place, longest_s=longest_s, say=say)
                else:
                    say(f"restarting {engine.name}{why}")
                    self._again(admin, engine.name, longest_s=longest_s, say=say)
                say(f"{engine.name} is ready again")

    def _place(self, pool: PoolSpec, engine: EngineSpec) -> tuple[tuple[EngineSpec, str] | None, str]:
        """For an engine beside a pool's only one; else why there is none, in words to add."""
        if len(pool.engines) > 1 or self._beside is None:
            return None, ""
        try:
            return self._beside(self.engines[engine.name]), ""
        except ServingError as error:
            if self._must_surge:
                raise ServingError(f"{engine.name} goes on as it is, for the deployment says `restart: surge`, and {error}") from None
            return None, f", which is stopped first: {error}"

    def _again(self, admin: GatewayAdmin, name: str, *, longest_s: float, say: Callable[[str], None]) -> None:
        """Stop an engine and start it again."""
        keeper = self.keepers[name]
        self._drain(admin, name, longest_s=longest_s, say=say)
        before = keeper.restarts
        keeper.restart()
        while keeper.restarts == before or keeper.state is not State.READY:
            keeper.raise_if_failed()
            if keeper.state is State.STOPPED:
                raise StackproofError(f"{name} was stopped while it started again")
            time.sleep(WATCH_S)

    def _replace(self, admin: GatewayAdmin, pool: PoolSpec, name: str, place: tuple[EngineSpec, str], *, longest_s: float, say: Callable[[str], None]) -> None:
        """Start an engine beside the one of that name, and let it take its place when it is ready. What goes wrong before that leaves the old one as it is."""
        say(f"starting a new {name} beside the old one")
        new = self._arrive(pool, name, *place)
        old = self.keepers[name]
        try:
            self._await(admin, new)
        except StackproofError as error:
            with self._publishing:
                self._arriving.pop(name)
            self._publish(pool)
            new.keeper.stop()
            raise StackproofError(f"the new {name} did not come up, and the old one goes on: {error}") from None
        say(f"the new {name} is ready, the old one finishes what it has")
        self._drain(admin, name, longest_s=longest_s, say=say)
        with self._publishing:
            new.keeper.restarts = old.restarts + 1
            self.keepers[name], self.addresses[name], self.engines[name] = new.keeper, new.address, new.engine
            self._arriving.pop(name)
        self._publish(pool)
        old.stop()

    def _arrive(self, pool: PoolSpec, name: str, engine: EngineSpec, address: str) -> _Arriving:
        new = _Arriving(engine, address, self._keeper(pool, engine, name))
        with self._publishing:
            if self._ending:
                raise StackproofError("the session ends")
            self._arriving[name] = new
        new.keeper.start()
        return new

    def _await(self, admin: GatewayAdmin, new: _Arriving) -> None:
        """Until it is ready and the gateway has found it healthy; StackproofError when that does not happen."""
        deadline = None
        while True:
            new.keeper.raise_if_failed()
            if new.keeper.state is State.STOPPED:
                raise StackproofError("it was stopped while it started")
            if new.keeper.state is State.READY:
                upstream = admin.upstreams().get(new.address)
                if upstream is not None and upstream.healthy:
                    return
                deadline = deadline or time.monotonic() + HEALTHY_WITHIN_S
                if time.monotonic() > deadline:
                    raise StackproofError(f"the gateway did not find it healthy within {HEALTHY_WITHIN_S:.0f} s")
            time.sleep(WATCH_S)

    def _drain(self, admin: GatewayAdmin, name: str, *, longest_s: float, say: Callable[[str], None]) -> None:
        """Take an engine out of service. Where the gateway cannot be asked nothing is waited for, and nobody is left who waits: its requests ended with it."""
        self.keepers[name].drain()
        try:
            left = self._drained(admin, self.addresses[name], longest_s)
        except ServingError as error:
            say(f"{name}: requests under way are not waited for: {error}")
            return
        if left:
            say(f"{name}: {left} requests did not end within {longest_s:.0f} s and are cut off")

    def _drained(self, admin: GatewayAdmin, address: str, longest_s: float) -> int:
        """Requests left when time was up; counted only once the gateway itself says that it sends no more."""
        deadline = time.monotonic() + longest_s
        while True:
            upstream = admin.upstreams().get(address)
            if upstream is None or (upstream.draining and upstream.active == 0):
                return 0
            if time.monotonic() > deadline:
                return upstream.active
            time.sleep(WATCH_S)

    def _keeper(self, pool: PoolSpec, engine: EngineSpec, name: str | None = None) -> Keeper:
        def start(tick: Callable[[], None]) -> Child:
            while not self._slots.acquire(timeout=WATCH_S):
                tick()
            try:
                return self._start(engine, tick)
            finally:
                self._slots.release()

        return Keeper(name or engine.name, start, explain=explain_death, changed=lambda: self._publish(pool))

    def _publish(self, pool: PoolSpec) -> None:
        """Engines in service, and which of them drain. The file is moved into place: Envoy notices that."""
        with self._publishing:
            names = [engine.name for engine in pool.engines]
            states = {self.addresses[name]: self.keepers[name].state for name in names}
            states |= {self._arriving[name].address: self._arriving[name].keeper.state for name in names if name in self._arriving}
            listed = tuple(address for address, state in states.items() if state in IN_SERVICE)
            draining = frozenset(address for address, state in states.items() if state is State.DRAINING)
            write_atomic(self.endpoints_file(pool), yaml.safe_dump(endpoints_document(pool.name, listed, draining), sort_keys=False))
