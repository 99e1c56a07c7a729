"""Copies between host and device, and between devices. Written against torch.cuda's documentation; not yet run on a GPU."""

from collections.abc import Iterator

from stack.hardware_profiles.profile.models import Group, Result, Status
from stack.hardware_profiles.profile.session import Deadline, Session, Task
from stack.hardware_profiles.profile.timing import repeat

BYTES = 256 << 20
LEAST, MOST = 5, 100


def measure_copies(session: Session, budget_s: float) -> Iterator[Result]:
    """Host to device and back, from pinned and pageable memory; then from this device to each of its peers."""
    if not session.device.cuda:
        yield _task("host_to_device.pinned").without(Status.NOT_SUPPORTED, "no CUDA device: the CPU's memory is measured by `memory`")
        return
    import torch

    device = session.device.name
    peers = [f"cuda:{index}" for index in range(torch.cuda.device_count()) if f"cuda:{index}" != device]
    deadline = Deadline(budget_s)
    left = 4 + len(peers)
    for pinned in (True, False):
        host = torch.randint(0, 256, (BYTES,), dtype=torch.uint8)
        host = host.pin_memory() if pinned else host
        here = torch.zeros(BYTES, dtype=torch.uint8, device=device)
        kind = "pinned" if pinned else "pageable"
        yield _copy(session, f"host_to_device.{kind}", host, here, deadline.left / left)
        back = torch.zeros(BYTES, dtype=torch.uint8)
        yield _copy(session, f"device_to_host.{kind}", here, back.pin_memory() if pinned else back, deadline.left / (left - 1))
        left -= 2
    for peer in peers:
        far = torch.zeros(BYTES, dtype=torch.uint8, device=peer)
        direct = torch.cuda.can_device_access_peer(torch.device(device), torch.device(peer))
        note = "directly" if direct else "through the host: the devices cannot reach each other"
        yield _copy(session, f"peer.{device.replace(':', '')}_to_{peer.replace(':', '')}", here, far, deadline.left / left, note=note)
        left -= 1


def _copy(session: Session, name: str, source: object, target: object, budget_s: float, *, note: str = "") -> Result:
    """`target` takes the bytes of `source`; pinned copies do not block, so events time them."""
    import torch

    def once() -> None:
        target.copy_(source, non_blocking=True)  # type: ignore[attr-defined]

    def fault() -> str:
        torch.cuda.synchronize()
        return "" if torch.equal(target.cpu(), source.cpu()) else "the bytes that arrived are not those that were sent"  # type: ignore[attr-defined]

    session.clock(once)  # warm-up
    return session.timed(_task(name, note), lambda: repeat(once, clock=session.clock, budget_s=budget_s, least=LEAST, most=MOST), check=fault)


def _task(name: str, note: str = "") -> Task:
    return Task(f"copy.{name}", Group.COPIES, "GB/s", float(BYTES), dtype="uint8", shape=(BYTES,), working_set_bytes=2 * BYTES, note=note)
