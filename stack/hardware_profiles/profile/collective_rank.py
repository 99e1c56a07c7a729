"""One rank: `python -m stack.hardware_profiles.profile.collective_rank BACKEND RANK RANKS STORE OPERATION SIZES BUDGET_S OUT`.

All ranks meet through the file STORE; rank 0 writes OUT, whole, when all sizes are done.
"""

import datetime
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stack.runtime.files import write_atomic

OPERATIONS = ("all_reduce", "all_gather")
TIMEOUT = datetime.timedelta(seconds=60)
ITEM = 4
"""float32"""

WARM_UPS = 2
LEAST, MOST = 3, 50


@dataclass(frozen=True)
class Run:
    """One size: seconds of each repetition as rank 0 saw them, and whether this rank held the right values."""

    size: int
    seconds: tuple[float, ...]
    right: bool


def main(backend: str, rank: int, ranks: int, store: str, operation: str, sizes: list[int], budget_s: float, out: Path) -> None:
    import torch
    import torch.distributed as dist

    device = torch.device(f"cuda:{rank}" if backend == "nccl" else "cpu")
    if backend == "nccl":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, init_method=f"file://{store}", rank=rank, world_size=ranks, timeout=TIMEOUT)
    try:
        runs = [_measure(operation, size, rank, ranks, device, budget_s / len(sizes)) for size in sizes]
        dist.barrier()
        if rank == 0:
            write_atomic(out, json.dumps([asdict(run) for run in runs]))
    finally:
        dist.destroy_process_group()


def _measure(operation: str, size: int, rank: int, ranks: int, device: Any, budget_s: float) -> Run:
    import torch

    call, right = prepare(operation, size, rank, ranks, device)
    sync: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(WARM_UPS):
        call()
    sync()
    started = time.perf_counter()
    call()
    sync()
    count = _agreed(max(LEAST, min(MOST, int(budget_s / max(time.perf_counter() - started, 1e-6)))), device)
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        sync()
        seconds.append(time.perf_counter() - started)
    return Run(size, tuple(seconds), right())


def prepare(operation: str, size: int, rank: int, ranks: int, device: Any) -> tuple[Callable[[], object], Callable[[], bool]]:
    """The operation on `size` bytes, and the check of one more run of it: rank r contributes r + 1 everywhere."""
    import torch
    import torch.distributed as dist

    if operation == "all_reduce":
        data = torch.full((size // ITEM,), float(rank + 1), device=device)

        def reduced() -> bool:
            data.fill_(float(rank + 1))
            dist.all_reduce(data)
            return bool((data == ranks * (ranks + 1) / 2).all())

        return lambda: dist.all_reduce(data), reduced
    share = size // ITEM // ranks
    own, whole = torch.full((share,), float(rank + 1), device=device), torch.zeros(share * ranks, device=device)

    def gathered() -> bool:
        whole.zero_()
        dist.all_gather_into_tensor(whole, own)
        return all(bool((whole[index * share : (index + 1) * share] == index + 1).all()) for index in range(ranks))

    return lambda: dist.all_gather_into_tensor(whole, own), gathered


def _agreed(count: int, device: Any) -> int:
    """Rank 0's count: all must take part in as many."""
    import torch
    import torch.distributed as dist

    box = torch.tensor([count], device=device)
    dist.broadcast(box, src=0)
    return int(box.item())


if __name__ == "__main__":
    _backend, _rank, _ranks, _store, _operation, _sizes, _budget, _out = sys.argv[1:]
    main(_backend, int(_rank), int(_ranks), _store, _operation, [int(size) for size in _sizes.split(",")], float(_budget), Path(_out))
