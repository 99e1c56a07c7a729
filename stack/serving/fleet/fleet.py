"""All engines of a deployment, and what the gateway is told of them (edge)."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from stack.runtime.errors import StackproofError
from stack.runtime.files import write_atomic
from stack.runtime.process import Child
from stack.runtime.progress import Reporter
from stack.serving.errors import PartEndedError
from stack.serving.fleet.gateway_admin import GatewayAdmin
from stack.serving.fleet.keeper import WATCH_S, Keeper, State
from stack.serving.gateway import endpoints_document
from stack.serving.pools import EngineSpec, PoolSpec
from stack.serving.vllm_process import explain_death

CORES_A_START = 4
"""An engine that starts on a processor takes about so many cores; two that start on fewer keep each other waiting."""
IN_SERVICE = frozenset({State.READY, State.DRAINING})

StartEngine = Callable[[EngineSpec, Callable[[], None]], Child]


class Fleet:
    """Keeps every engine of `pools` running. `folder` holds the files that tell the gateway who takes requests."""

    def __init__(self, pools: tuple[PoolSpec, ...], addresses: dict[str, str], folder: Path, start: StartEngine) -> None:
        self.pools, self.addresses, self._folder, self._start = pools, addresses, folder, start
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
                with reporter.step(f"Starting vLLM with {engine.plan.model} on {engine.plan.device}{beside}") as step:
                    self.keepers[engine.name].wait(step.tick)

    def stop(self) -> None:
        threads = [threading.Thread(target=keeper.stop) for keeper in self.keepers.values()]
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

        A request under way is waited for, `longest_s` at most. The only engine of a pool leaves nobody to answer meanwhile.
        """
        for pool in self.pools:
            for engine in pool.engines:
                keeper = self.keepers[engine.name]
                say(f"restarting {engine.name}")
                keeper.drain()
                left = self._drained(admin, self.addresses[engine.name], longest_s)
                if left:
                    say(f"{engine.name}: {left} requests did not end within {longest_s:.0f} s and are cut off")
                before = keeper.restarts
                keeper.restart()
                while keeper.restarts == before or keeper.state is not State.READY:
                    keeper.raise_if_failed()
                    if keeper.state is State.STOPPED:
                        raise StackproofError(f"{engine.name} was stopped while it started again")
                    time.sleep(WATCH_S)
                say(f"{engine.name} is ready again")

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

    def _keeper(self, pool: PoolSpec, engine: EngineSpec) -> Keeper:
        def start(tick: Callable[[], None]) -> Child:
            while not self._slots.acquire(timeout=WATCH_S):
                tick()
            try:
                return self._start(engine, tick)
            finally:
                self._slots.release()

        return Keeper(engine.name, start, explain=explain_death, changed=lambda: self._publish(pool))

    def _publish(self, pool: PoolSpec) -> None:
        """Engines in service, and which of them drain. The file is moved into place: Envoy notices that."""
        with self._publishing:
            states = {self.addresses[engine.name]: self.keepers[engine.name].state for engine in pool.engines}
            listed = tuple(address for address, state in states.items() if state in IN_SERVICE)
            draining = frozenset(address for address, state in states.items() if state is State.DRAINING)
            write_atomic(self.endpoints_file(pool), yaml.safe_dump(endpoints_document(pool.name, listed, draining), sort_keys=False))
