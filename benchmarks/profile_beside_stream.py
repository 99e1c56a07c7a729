"""The profile's bars on this machine: `python benchmarks/profile_beside_stream.py [--rounds 5] [--wait 600]`.

Memory: a C build of the STREAM kernels (stream.c) and the profile's, in turn, arrays of the same size; each takes its best number of threads.
GEMM: the profile's sustained rate against the best median of a brute-force sweep over shapes and threads, and the two places in turns.
A turn in which other processes or the hypervisor took over 5 % of the CPU time is thrown away and taken again, until `--wait` seconds are over.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from stack.hardware_profiles import collect_inventory
from stack.hardware_profiles.profile.conditions import Watch, disturbance
from stack.hardware_profiles.profile.device import open_device
from stack.hardware_profiles.profile.gemm import KINDS, Kind, Product, measure_kind, shapes
from stack.hardware_profiles.profile.memory import ITEM, KERNELS, array_bytes, measure_memory
from stack.hardware_profiles.profile.models import Group
from stack.hardware_profiles.profile.peaks import peaks_of
from stack.hardware_profiles.profile.session import Session, set_threads, with_threads
from stack.hardware_profiles.profile.timing import figures, host_clock, repeat
from stack.hardware_profiles.tree import Tree

T = TypeVar("T")

MOST_TAKEN = 0.05
LOOK_S = 3.0
STREAM_ROUNDS = 20
DENSE = tuple((n, n, n) for n in (*range(128, 1024, 64), 1280, 1792, 2560, 3072))
OBLONG = ((64, 4096, 4096), (4096, 64, 4096), (1024, 256, 1024), (256, 2048, 256), (256, 576, 576), (512, 576, 1536))
"""Shapes of the brute-force sweep beside the profile's own."""

PLACE_S = 0.4
KIND_S = 6.0
BESIDE_TURNS = 7
MEMORY_S = 6.0


class Quiet:
    """Takes a turn when the machine is quiet, and again when it was not quiet meanwhile, until time is over."""

    def __init__(self, watch: Watch, wait_s: float) -> None:
        self._watch, self._end = watch, time.monotonic() + wait_s
        self.thrown = 0

    def take(self, turn: Callable[[], T]) -> tuple[T, float]:
        """The turn's outcome and the share that others took of it."""
        while True:
            while self._taken(lambda: time.sleep(LOOK_S)) > MOST_TAKEN and not self._over:
                pass
            outcomes: list[T] = []
            taken = self._taken(lambda: outcomes.append(turn()))  # noqa: B023 - called at once
            if taken <= MOST_TAKEN or self._over:
                return outcomes[0], taken
            self.thrown += 1

    @property
    def _over(self) -> bool:
        return time.monotonic() > self._end

    def _taken(self, act: Callable[[], object]) -> float:
        before = self._watch.usage()
        act()
        found = disturbance(before, self._watch.usage())
        return 1.0 if found is None else (found.steal_share or 0.0) + (found.others_share or 0.0)


def build(folder: Path) -> Path:
    program = folder / "stream"
    subprocess.run(["gcc", "-O3", "-march=native", "-fopenmp", str(Path(__file__).with_name("stream.c")), "-o", str(program), "-lm"], check=True)
    return program


def stream(program: Path, elements: int, threads: list[int]) -> dict[str, tuple[float, float]]:
    """Best and median GB/s of each kernel, on the number of threads whose median is higher."""
    found: dict[str, tuple[float, float]] = {}
    for count in threads:
        environment = {**os.environ, "OMP_NUM_THREADS": str(count)}
        done = subprocess.run([str(program), str(elements), str(STREAM_ROUNDS)], capture_output=True, text=True, check=True, env=environment)
        for line in done.stdout.splitlines():
            name, best, median = line.split()
            found[name] = max(found.get(name, (0.0, 0.0)), (float(best), float(median)), key=lambda pair: pair[1])
    return found


def ours(session: Session) -> dict[str, tuple[float, float]]:
    return {result.name.removeprefix("memory."): (result.best or 0.0, result.median or 0.0) for result in measure_memory(session, MEMORY_S)}


def brute_force(session: Session, kind: Kind) -> tuple[float, tuple[int, int, int], int]:
    """The highest median of any shape on any number of threads, with its place."""
    best = (0.0, (0, 0, 0), 0)
    for shape in dict.fromkeys((*DENSE, *OBLONG, *shapes())):
        work = kind.place(shape).work or 0.0
        if best[0] and work / (best[0] * 1e9) > 0.5:
            continue
        product = Product.make(kind, shape, "cpu")
        for threads in range(1, session.cores + 1):
            set_threads(threads)
            product.call()
            task = with_threads(kind.place(shape), threads)
            median = figures(repeat(product.call, clock=host_clock, budget_s=PLACE_S, least=3), unit=task.unit, work=task.work).median
            best = max(best, (median, shape, threads))
    return best


def beside(kind: Kind, places: list[tuple[tuple[int, int, int], int]]) -> float:
    """The rate of the first place over that of the second, by the medians of turns: a maximum over many short medians flatters itself."""
    products = [Product.make(kind, shape, "cpu") for shape, _ in places]
    ratios = []
    for _ in range(BESIDE_TURNS):
        rates = []
        for product, (shape, threads) in zip(products, places, strict=True):
            set_threads(threads)
            product.call()
            work = kind.place(shape).work or 0.0
            rates.append(work / statistics.median(repeat(product.call, clock=host_clock, budget_s=PLACE_S, least=3)))
        ratios.append(rates[0] / rates[1])
    return statistics.median(ratios)


def compare(session: Session, quiet: Quiet, kind: Kind, rounds: int) -> None:
    """Ours against the best of all shapes, `rounds` times: neighbours on the host slow a guest without its kernel seeing it."""
    whole, turns = [], []
    for number in range(rounds):
        (result, (rate, shape, count)), taken = quiet.take(lambda: (measure_kind(session, kind, KIND_S), brute_force(session, kind)))
        m, k, n = result.shape
        places = [((m, k, n), result.threads or 1), (shape, count)]
        again, _ = quiet.take(lambda places=places: beside(kind, places))
        whole.append((result.median or 0.0) / rate)
        turns.append(again)
        words = f"ours {result.median or 0:.1f} {result.unit} at {result.shape} on {result.threads}, best of all {rate:.1f} at {shape} on {count}"
        load = os.getloadavg()[0]
        print(f"gemm {kind.name} {number + 1} (others {taken:.1%}, load {load:.2f}): {words}: {whole[-1]:.3f}; the places in turns: {again:.3f}", flush=True)
    print(f"gemm {kind.name}: ours / best of all, median of {rounds}: {statistics.median(whole):.3f}; the places in turns: {statistics.median(turns):.3f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wait", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--dtypes", default="float64,float32", help="of the GEMM comparison")
    options = parser.parse_args()
    inventory, tree = collect_inventory(), Tree()
    device = open_device("cpu", frozenset({Group.GEMM}), inventory)
    session = Session(device=device, inventory=inventory, clock=host_clock, watch=Watch(tree), peak_of=peaks_of(device, inventory, tree))
    quiet = Quiet(session.watch, options.wait)
    print(f"$ python {' '.join(sys.argv)}")
    print(f"{device.title}, {session.cores} cores, {platform.system()} {platform.release()}, torch {torch.__version__}, load {os.getloadavg()[0]:.2f}")
    size, reason = array_bytes(device.last_level_cache_bytes, device.memory_bytes)
    if size is None:
        print(reason)
        return 2
    threads = list(range(1, session.cores + 1))
    with tempfile.TemporaryDirectory() as name:
        program = build(Path(name))
        print(f"memory: 3 arrays of {size >> 20} MiB; GB/s, best / median")
        ratios: dict[str, list[tuple[float, float]]] = {kernel: [] for kernel in KERNELS}
        for number in range(options.rounds):
            (theirs, own), taken = quiet.take(lambda: (stream(program, size // ITEM, threads), ours(session)))
            for kernel in KERNELS:
                ratios[kernel].append((own[kernel][0] / theirs[kernel][0], own[kernel][1] / theirs[kernel][1]))
            told = ", ".join(f"{kernel} {own[kernel][0]:.1f}/{own[kernel][1]:.1f} : {theirs[kernel][0]:.1f}/{theirs[kernel][1]:.1f}" for kernel in KERNELS)
            print(f"turn {number + 1} (others {taken:.1%}, load {os.getloadavg()[0]:.2f}): ours : C {told}", flush=True)
    for kernel, pairs in ratios.items():
        best, median = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
        print(f"{kernel}: ours / C, median of {options.rounds} turns: best {best:.3f}, median {median:.3f}")
    for kind in (each for each in KINDS if each.name in options.dtypes.split(",")):
        compare(session, quiet, kind, options.rounds)
    print(f"{quiet.thrown} turns thrown away")
    return 0


if __name__ == "__main__":
    sys.exit(main())
