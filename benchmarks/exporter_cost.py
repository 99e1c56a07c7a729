"""What `stackproof exporter` costs: CPU seconds in a minute, at one reading of every source a second.

    .venv/bin/python benchmarks/exporter_cost.py [--seconds 60]

Four exporters run beside each other: with eight GPUs (the stand-in library of the tests, so that the driver's own cost is not in it) and
with none, scraped every second and every 15 s. CPU time is what the kernel counts for each process
(`process_cpu_seconds_total`), read after a warm-up and again at the end.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from stack.runtime.net import free_port
from stack.runtime.process import Child

SOURCE = Path(__file__).parents[1] / "tests" / "fakes" / "fake_nvml.c"
WARM_UP_S = 5
SCENARIOS = {"8 GPUs (stand-in)": "8xh100", "no GPU": "nodevices"}
SCRAPE_EVERY_S = (1, 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    print(f"command: {' '.join(['python', *sys.argv])}\nmachine: {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiler = shutil.which("cc") or shutil.which("gcc") or sys.exit("needs a C compiler (cc or gcc)")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)], check=True)
        cases = [Case(label, scenario, every_s, free_port()) for label, scenario in SCENARIOS.items() for every_s in SCRAPE_EVERY_S]
        children = [start(folder, case) for case in cases]
        try:
            for child, case in zip(children, cases, strict=True):
                child.wait_ready(lambda port=case.port: answers(port), timeout_s=30)
            scrape(cases, WARM_UP_S)
            before = {case: value(case, "process_cpu_seconds_total") for case in cases}
            scrape(cases, seconds)
            for case in cases:
                used_s = value(case, "process_cpu_seconds_total") - before[case]
                size = f"{len(series(case.port))} series, {value(case, 'process_resident_memory_bytes') / 2**20:.0f} MiB"
                print(f"{case.label}, scraped every {case.every_s} s: {used_s:.2f} CPU s in {seconds} s = {used_s / seconds:.2%} of a core; {size}")
        finally:
            for child in children:
                child.stop()


class Case(NamedTuple):
    label: str
    scenario: str
    every_s: int
    port: int


def start(folder: Path, case: Case) -> Child:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "FAKE_NVML": case.scenario}
    command = [sys.executable, "-m", "stack.cli.main", "exporter", "--port", str(case.port)]
    return Child.start(f"exporter {case.port}", command, log=folder / f"{case.port}.log", env=environment)


def scrape(cases: list[Case], seconds: int) -> None:
    """For so long, each at its own pace."""
    begun = time.monotonic()
    for second in range(seconds):
        for case in cases:
            if second % case.every_s == 0:
                series(case.port)
        time.sleep(max(0.0, begun + second + 1 - time.monotonic()))


def series(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return [line for line in answer.read().decode().splitlines() if not line.startswith("#")]


def value(case: Case, name: str) -> float:
    (line,) = (line for line in series(case.port) if line.startswith(f"{name} "))
    return float(line.split()[1])


def answers(port: int) -> bool:
    try:
        return any(line.startswith("stackproof_source_up") for line in series(port))
    except OSError:
        return False


if __name__ == "__main__":
    main()
