"""TCP between two processes: on loopback, or between each pair of nodes of the Ray cluster that RAY_ADDRESS names."""

import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

from stack.hardware_profiles.profile import tcp
from stack.hardware_profiles.profile.conditions import disturbance
from stack.hardware_profiles.profile.models import Conditions, Disturbance, Group, Result, Status, Unit
from stack.hardware_profiles.profile.session import Session, Task
from stack.runtime.net import LOOPBACK, silence
from stack.runtime.process import Child, ChildError

START_S = 30.0
CONNECT_S = 5.0
ANSWER_S = 120.0


def measure_network(session: Session, budget_s: float) -> Iterator[Result]:
    """Throughput of one stream and round trips of one byte."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        try:
            yield from _loopback(session, budget_s)
        except (OSError, ChildError) as error:
            yield _task("loopback.throughput", "GB/s").without(Status.SKIPPED, str(error))
    elif (why := silence(address, timeout_s=CONNECT_S)) is not None:
        yield _task("nodes.throughput", "GB/s").without(Status.SKIPPED, f"RAY_ADDRESS: no cluster answers at {address} ({why})")
    elif find_spec("ray") is None:
        yield _task("nodes.throughput", "GB/s").without(Status.NOT_SUPPORTED, "RAY_ADDRESS is set and Ray is not installed: python scripts/bootstrap.py cpu")
    else:
        yield from _nodes(session, address, budget_s)


def _loopback(session: Session, budget_s: float) -> Iterator[Result]:
    before, first = session.watch.conditions(), session.watch.usage()
    with tempfile.TemporaryDirectory(prefix="stackproof-network-") as name:
        folder = Path(name)
        port_file = folder / "port"
        child = Child.start("TCP peer", [sys.executable, "-m", tcp.__name__, LOOPBACK, str(port_file)], log=folder / "log", grace_s=1.0)
        try:
            child.wait_ready(port_file.exists, timeout_s=START_S)
            found = tcp.measure(LOOPBACK, int(port_file.read_text()), budget_s)
        finally:
            child.stop()
    # The peer has ended, so that its CPU time counts as ours.
    during = disturbance(first, session.watch.usage())
    yield from _pair(session, "loopback", found, "within this machine, by loopback", before=before, during=during)


def _pair(
    session: Session, name: str, found: tcp.Measured, note: str, *, before: Conditions | None = None, during: Disturbance | None = None
) -> Iterator[Result]:
    for task, samples in ((_task(f"{name}.throughput", "GB/s", note), found.blocks_s), (_task(f"{name}.round_trip", "us", note), found.round_trips_s)):
        yield session.told(task, samples, before=before, during=during)


def _nodes(session: Session, address: str, budget_s: float) -> Iterator[Result]:
    from stack.runtime.ray_cluster import LocalRay

    with tempfile.TemporaryDirectory(prefix="stackproof-network-") as logs, LocalRay(logs=Path(logs), cpus=1) as cluster:
        try:
            cluster.connect(address)
        except (ConnectionError, RuntimeError, ValueError) as error:
            yield _task("nodes.throughput", "GB/s").without(Status.SKIPPED, f"RAY_ADDRESS: no cluster answers ({str(error).splitlines()[0][:120]})")
            return
        import ray

        nodes = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: str(node["NodeID"]))
        pairs = list(combinations(range(len(nodes)), 2)) or [(0, 0)]
        for first, second in pairs:
            same = nodes[first]["NodeManagerHostname"] == nodes[second]["NodeManagerHostname"]
            name = "loopback" if first == second else f"node{first}_node{second}"
            note = "a cluster of one node: within its machine" if first == second else "two nodes on one machine" if same else "between two machines"
            try:
                found = _between(nodes[first], nodes[second], budget_s / len(pairs))
            except (ray.exceptions.RayError, TimeoutError) as error:
                yield _task(f"{name}.throughput", "GB/s", note).without(Status.SKIPPED, f"Ray: {str(error).splitlines()[0][:160]}")
                continue
            yield from _pair(session, name, found, note)
            session.tick()


def _between(far: dict[str, object], near: dict[str, object], budget_s: float) -> tcp.Measured:
    """A peer on one node, the measuring task on the other; both ask for no CPU, so that a busy cluster takes them too."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def pinned(node: dict[str, object]) -> dict[str, object]:
        return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=str(node["NodeID"]), soft=False)}

    peer = ray.remote(tcp.Peer).options(**pinned(far)).remote(str(far["NodeManagerAddress"]))
    try:
        port = ray.get(peer.port.remote(), timeout=ANSWER_S)
        task = ray.remote(tcp.measure).options(**pinned(near)).remote(str(far["NodeManagerAddress"]), port, budget_s)
        found: tcp.Measured = ray.get(task, timeout=ANSWER_S + budget_s)
        return found
    finally:
        ray.kill(peer)


def _task(name: str, unit: Unit, note: str = "") -> Task:
    work = float(tcp.BLOCK) if unit == "GB/s" else None
    return Task(f"network.{name}", Group.NETWORK, unit, work, shape=(tcp.BLOCK if work else 1,), note=note)
