"""Throughput and memory of labeling pipelines: Ray with two workers, one worker and one core, and no Ray, beside Ray Data and datatrove.

    .venv/bin/python benchmarks/labeling.py [--records 200000] [--parts cleaning,chain,peers,memory] [--datatrove-python PYTHON]

The corpus is drawn by a seed from the words of the shipped English and Indonesian texts: 8 to 30 words, 5 % with an e-mail address, 5 % with
a phone number, 1 % with a card number, 2 % near copies of an earlier record; a folder of CSV files. `cleaning` is normalise, PII of two
kinds (e-mail, card) and the hashes that every run makes; `chain` is normalise, language among 16, all kinds of PII, Gopher's rules
(all but those on stop words) and near-duplicates. Both are run by `run_pipeline`, each figure in a process of its own.

start: cluster, workers and a first run over little, so that every worker has loaded its libraries; it is in no rate. phases: what tasks do,
committing included. whole: all of `run_pipeline`, so also planning and hashing the sources, deciding over all, writing the dataset and its papers.
"one core" pins the whole process tree, driver and Ray too, to a processor; "1 worker" leaves the driver another. "two at once" are two
local runs side by side that share nothing: twice their mean rate is what the two cores can give at all. Rates are the best of `--rounds`.
datatrove is a package of another environment: `--datatrove-python` says which, with datatrove, pyarrow, orjson and xxhash.
Memory: over the process tree at 5 Hz, the greatest sum of proportional set sizes (what it takes of the machine, shared pages once; the bar is on
it) and of resident ones (shared pages counted by each of Ray's processes).
Bars: 30,000 records/s cleaning, 10,000 the whole chain, two workers 1.7 times one core, 2 GB. Exit status 1 when one is missed.
"""

import argparse
import csv
import json
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stack.runtime.process import Child

HERE = Path(__file__).resolve()
NUSAX = HERE.parents[1] / "stack" / "pipelines" / "data" / "nusax"
PARTS = ("cleaning", "chain", "peers", "memory")
FILE_RECORDS = 20_000
"""Per CSV file: two shards of the default size, and enough files for peers that read a file per task."""
WARM_RECORDS, WARM_SHARD = 4_000, 500
SIZES = (10_000, 100_000, 1_000_000)
LANGUAGES = ("en", "id", "jv", "ms", "fr", "es", "pt", "sw", "hi", "bn", "ur", "ar", "vi", "th", "tr", "am")
BARS = {"cleaning": 30_000, "chain": 10_000}
RATIO_BAR, MEMORY_BAR = 1.7, 2_000_000_000
TIMEOUT_S = 900.0
SAMPLE_S = 0.2


@dataclass(frozen=True)
class Way:
    """Where a pipeline runs: Ray workers (0: in the process itself), and the processor that all of it is pinned to."""

    name: str
    workers: int
    core: int | None = None


WAYS = (Way("Ray, 2 workers", 2), Way("Ray, 1 worker", 1), Way("Ray, 1 worker, one core", 1, 0), Way("local, one core", 0, 0))


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds and rates of the best round, and its spread."""

    part: str
    way: str
    records: int
    start_s: float
    phases: float | None
    """Records/s."""
    whole: float
    """Records/s."""
    rounds: tuple[float, ...] = ()
    """`whole` of every round, in order."""
    dropped: str = ""


@dataclass(frozen=True)
class Memory:
    part: str
    records: int
    rss_bytes: int
    pss_bytes: int
    driver_bytes: int
    """Greatest resident set of the process that drives the run."""
    whole_s: float


# --- the corpus ---------------------------------------------------------------------------------------------------------------------


def write_corpus(folder: Path, records: int, seed: int) -> Path:
    """`records` in files of `FILE_RECORDS`; the same seed gives the same bytes."""
    folder.mkdir(parents=True)
    drawn = texts(random.Random(seed))
    for number, first in enumerate(range(0, records, FILE_RECORDS)):
        with (folder / f"part-{number:04d}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("id", "text"))
            writer.writerows((row, next(drawn)) for row in range(first, min(records, first + FILE_RECORDS)))
    return folder


def texts(draw: random.Random) -> Iterator[str]:
    """Without end."""
    languages = [words_of(NUSAX / f"{name}.csv") for name in ("english", "indonesian")]
    before: list[list[str]] = []
    number = 0
    while True:
        number += 1
        chance = draw.random()
        if before and draw.random() < 0.02:
            words = list(draw.choice(before))
            words[draw.randrange(len(words))] = draw.choice(languages[0])
        else:
            words = draw.choices(draw.choice(languages), k=draw.randint(8, 30))
            if chance < 0.05:
                words.insert(draw.randrange(len(words)), f"{draw.choice(words).strip('.,!?').lower() or 'user'}.{number}@mail-{number % 97}.example.org")
            elif chance < 0.10:
                words.insert(draw.randrange(len(words)), f"+62 812-{draw.randint(1000, 9999)}-{draw.randint(1000, 9999)}")
            elif chance < 0.11:
                words.insert(draw.randrange(len(words)), card(draw))
            before = [*before[-99:], words]
        yield " ".join(words)


def words_of(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as stream:
        return [word for row in csv.DictReader(stream) for word in row["text"].split()]


def card(draw: random.Random) -> str:
    """Sixteen digits in fours, the last by Luhn."""
    body = [4, *(draw.randrange(10) for _ in range(14))]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 == 0 else digit for place, digit in enumerate(body)]
    number = "".join(map(str, [*body, -sum(doubled) % 10]))
    return " ".join(number[at : at + 4] for at in range(0, 16, 4))


# --- one figure, in a process of its own --------------------------------------------------------------------------------------------


def stages(part: str) -> list[dict[str, Any]]:
    if part == "cleaning":
        return [{"kind": "normalise"}, {"kind": "pii", "kinds": ["email", "card"]}]
    rules = {"rules": ["gopher", "-gopher_stop_words"], "overrides": {"gopher_word_count": [5, 1000]}}
    return [
        {"kind": "normalise"},
        {"kind": "language", "languages": LANGUAGES},
        {"kind": "pii"},
        {"kind": "quality", **rules},
        {"kind": "near_dedup"},
    ]


def measure(job: dict[str, Any]) -> None:
    """Run the job and print what it took, as JSON, on the last line."""
    if job["core"] is not None:
        os.sched_setaffinity(0, {job["core"]})  # before anything makes a thread or a process
    from stack.pipelines import LocalExecutor, Pipeline, run_pipeline
    from stack.pipelines.ray_executor import RayExecutor

    out = Path(job["out"])

    def pipeline(corpus: str, **read: int) -> Pipeline:
        source = {"name": "bench", "path": corpus, "id": "id", "licence": "CC-BY-SA-4.0", "origin": "words of NusaX, drawn by benchmarks/labeling.py"}
        body = [{"kind": "read", "sources": [source], **read}, *stages(job["part"]), {"kind": "write"}]
        return Pipeline.model_validate({"name": "bench", "title": "Benchmark", "stages": body}).bound(out)

    with ExitStack() as stack:
        begun = time.perf_counter()
        executor = stack.enter_context(RayExecutor(logs=out / "logs", workers=job["workers"])) if job["workers"] else LocalExecutor()
        run_pipeline(pipeline(job["warm"], shard_records=WARM_SHARD), out / "warm", executor=executor)
        start_s = time.perf_counter() - begun
        if job["barrier"]:
            (out / "ready").touch()
            while not Path(job["barrier"]).exists():
                time.sleep(0.001)
        begun = time.perf_counter()
        done = run_pipeline(pipeline(job["corpus"]), out / "dataset", executor=executor)
        whole_s = time.perf_counter() - begun
    result = {"start_s": start_s, "phases_s": done.spent.seconds, "whole_s": whole_s, "dropped": done.card["counts"]["dropped"], "read": done.spent.records}
    print(json.dumps(result), flush=True)


class Bench:
    """Corpora and outputs in one folder, which goes when it ends; children end with it, also on Ctrl-C."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self._seed, self._count = folder, seed, 0
        self._corpora: dict[int, str] = {}
        self.warm = str(write_corpus(folder / "warm", WARM_RECORDS, seed + 1))

    def corpus(self, records: int) -> str:
        if records not in self._corpora:
            tell(f"drawing {records:,} records")
            self._corpora[records] = str(write_corpus(self.folder / f"corpus-{records}", records, self._seed))
        return self._corpora[records]

    def job(self, records: int, **more: Any) -> dict[str, Any]:
        self._count += 1
        out = self.folder / f"run-{self._count}"
        out.mkdir()
        return {"warm": self.warm, "corpus": self.corpus(records), "out": str(out), "core": None, "barrier": None, **more}

    def run(self, part: str, way: Way, records: int, *, watch: Callable[[Child], None] | None = None) -> dict[str, Any]:
        tell(f"{part}: {way.name}, {records:,} records")
        return finished(started(self.job(records, part=part, workers=way.workers, core=way.core)), watch=watch)

    def two_at_once(self, part: str, records: int) -> list[dict[str, Any]]:
        """Local runs pinned to a core each, which begin together."""
        tell(f"{part}: two local runs at once, {records:,} records each")
        barrier = self.folder / f"go-{self._count}"
        jobs = [self.job(records, part=part, workers=0, core=core, barrier=str(barrier)) for core in (0, 1)]
        children = [started(job) for job in jobs]
        try:
            for child, job in zip(children, jobs, strict=True):
                child.wait_ready((Path(job["out"]) / "ready").exists, timeout_s=TIMEOUT_S)
            barrier.touch()
            return [finished(child) for child in children]
        finally:
            for child in children:
                child.stop()


def started(job: dict[str, Any], command: Sequence[str] = (sys.executable, str(HERE), "--measure")) -> Child:
    return Child.start("measurement", [*command, json.dumps(job)], log=Path(job["out"]) / "child.log")


def finished(child: Child, *, watch: Callable[[Child], None] | None = None) -> dict[str, Any]:
    """What it printed last. RuntimeError with its last words when it failed or took too long."""
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while child.exit_status is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not done after {TIMEOUT_S:.0f} s: {child.last_words()}")
            if watch:
                watch(child)
            time.sleep(SAMPLE_S)
    finally:
        child.stop()
    if child.exit_status:
        raise RuntimeError(child.last_words())
    found: dict[str, Any] = json.loads(child.log.read_text().splitlines()[-1])
    return found


# --- the parts ----------------------------------------------------------------------------------------------------------------------


def rates(bench: Bench, part: str, records: int, rounds: int) -> list[Row]:
    """All ways in turn, `rounds` times, so that what drifts on the machine reaches all of them."""
    found: dict[str, list[Row]] = {}
    for _ in range(rounds):
        for way in WAYS:
            found.setdefault(way.name, []).append(row_of(part, way.name, records, bench.run(part, way, records)))
        pair = [row_of(part, "", records, each) for each in bench.two_at_once(part, records)]
        phases, whole = sum(row.phases or 0 for row in pair), sum(row.whole for row in pair)
        found.setdefault("local, two at once", []).append(Row(part, "local, two at once", 2 * records, pair[0].start_s, phases, whole))
    return [best(rows) for rows in found.values()]


def row_of(part: str, way: str, records: int, took: dict[str, Any]) -> Row:
    assert took.get("read", records) == records, took
    phases = records / took["phases_s"] if "phases_s" in took else None
    dropped = ", ".join(f"{reason} {count}" for reason, count in took.get("dropped", {}).items())
    return Row(part, way, records, took["start_s"], phases, records / took["whole_s"], dropped=dropped)


def best(rows: Sequence[Row]) -> Row:
    chosen = max(rows, key=lambda row: row.whole)
    return Row(**{**asdict(chosen), "rounds": tuple(row.whole for row in rows)})


def peers(bench: Bench, records: int, rounds: int, datatrove_python: str | None) -> list[Row]:
    """The cleaning by Ray Data and datatrove, two workers each."""
    commands = {"Ray Data": [sys.executable, str(HERE.with_name("labeling_peers.py")), "ray-data"]}
    if datatrove_python:
        also = [argument for path in (str(HERE.parents[1]), *filter(lambda path: path.endswith("site-packages"), sys.path)) for argument in ("--also", path)]
        for name, peer in (("datatrove", "datatrove"), ("datatrove, its own PII, no hash", "datatrove-own")):
            commands[name] = [datatrove_python, str(HERE.with_name("labeling_peers.py")), *also, peer]
    found: dict[str, list[Row]] = {}
    for _ in range(rounds):
        for name, command in commands.items():
            tell(f"peers: {name}, {records:,} records")
            found.setdefault(name, []).append(row_of("peers", name, records, finished(started(bench.job(records, workers=2), command))))
    return [best(rows) for rows in found.values()]


def memory(bench: Bench, sizes: Sequence[int]) -> list[Memory]:
    return [measured(bench, part, records) for records in sizes for part in ("cleaning", "chain")]


def measured(bench: Bench, part: str, records: int) -> Memory:
    import psutil

    most = {"rss": 0, "pss": 0, "driver": 0}

    def watch(child: Child) -> None:
        sizes = {}
        for pid in child.pids():
            with suppress(psutil.Error):  # it ended meanwhile
                sizes[pid] = psutil.Process(pid).memory_info().rss
        driver = list(sizes.values())[1:2]  # the guardian stands before it
        now = {"rss": sum(sizes.values()), "pss": child.memory_bytes(), "driver": sum(driver)}
        most.update({name: max(most[name], size) for name, size in now.items()})

    took = bench.run(part, WAYS[0], records, watch=watch)
    return Memory(part, records, most["rss"], most["pss"], most["driver"], took["whole_s"])


# --- what is said -------------------------------------------------------------------------------------------------------------------


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def host() -> dict[str, Any]:
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    versions = {}
    for name in ("ray", "pyarrow", "rensa", "py3langid", "phonenumbers"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    return {"cpu": cpu, "cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg(), **versions}


def show(rows: Sequence[Row], amounts: Sequence[Memory], said: Sequence[tuple[str, bool]]) -> None:
    if rows:
        print(f"\n{'part':9} {'way':30} {'records':>9} {'start s':>8} {'phases/s':>9} {'whole/s':>9}  rounds (whole/s)")
    for row in rows:
        phases = "-" if row.phases is None else f"{row.phases:,.0f}"
        rounds = " ".join(f"{rate:,.0f}" for rate in row.rounds)
        print(f"{row.part:9} {row.way:30} {row.records:>9,} {row.start_s:>8.1f} {phases:>9} {row.whole:>9,.0f}  {rounds}")
    for part, dropped in {row.part: row.dropped for row in rows if row.dropped}.items():
        print(f"{part} dropped: {dropped}")
    if amounts:
        print(f"\n{'part':9} {'records':>9} {'RSS MB':>8} {'PSS MB':>8} {'driver MB':>9} {'whole s':>8}")
    for each in amounts:
        sizes = "".join(f" {size / 1e6:>{width}.0f}" for size, width in ((each.rss_bytes, 8), (each.pss_bytes, 8), (each.driver_bytes, 9)))
        print(f"{each.part:9} {each.records:>9,}{sizes} {each.whole_s:>8.1f}")
    print()
    for line, met in said:
        print(("met     " if met else "MISSED  ") + line)


def ratios(rows: Sequence[Row]) -> list[str]:
    """Two workers beside the other ways, round by round: the machine may have been slower in one than in another."""
    lines = []
    for part in dict.fromkeys(row.part for row in rows):
        found = {row.way: row for row in rows if row.part == part}
        if two := found.get(WAYS[0].name):
            others = [f"{median_ratio(two, row):.2f} x {way}" for way, row in found.items() if row is not two]
            lines.append(f"{part}: two workers, whole run: {', '.join(others)} (medians of rounds)")
    clean = next((row for row in rows if (row.part, row.way) == ("cleaning", WAYS[0].name)), None)
    peer = [f"{clean.whole / row.whole:.2f} x {row.way}" for row in rows if clean and row.part == "peers"]
    return [*lines, *([f"cleaning: two workers, whole run: {', '.join(peer)}"] if peer else [])]


def median_ratio(above: Row, below: Row) -> float:
    return statistics.median(a / b for a, b in zip(above.rounds, below.rounds, strict=True))


def verdicts(rows: Sequence[Row], amounts: Sequence[Memory]) -> list[tuple[str, bool]]:
    said = []
    by = {(row.part, row.way): row for row in rows}
    for part, bar in BARS.items():
        if two := by.get((part, WAYS[0].name)):
            said.append((f"{part}: {two.whole:,.0f} records/s with two workers, bar {bar:,}", two.whole >= bar))
            ratio = median_ratio(two, by[part, WAYS[2].name])
            said.append((f"{part}: two workers {ratio:.2f} times one core, bar {RATIO_BAR}", ratio >= RATIO_BAR))
    if amounts:
        most, often = max(each.pss_bytes for each in amounts), max(each.rss_bytes for each in amounts)
        words = f"memory: {most / 1e9:.2f} GB at most, {often / 1e9:.2f} with shared pages counted by each process; bar {MEMORY_BAR / 1e9:.0f}"
        said.append((words, most < MEMORY_BAR))
    return said


def listed(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := sorted(set(names) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000, help="for rates")
    parser.add_argument("--memory-records", type=lambda text: tuple(map(int, text.split(","))), default=SIZES, help="for memory: 10000,100000,1000000")
    parser.add_argument("--parts", type=listed, default=PARTS, help=f"of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--datatrove-python", metavar="PYTHON", help="an interpreter that has datatrove; without it datatrove is not measured")
    parser.add_argument("--json", action="store_true", help="the figures on stdout as JSON instead of the table")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    if chosen.measure is not None:
        measure(chosen.measure)
        return 0
    machine = host()
    rows: list[Row] = []
    amounts: list[Memory] = []
    with tempfile.TemporaryDirectory(prefix="stackproof-label-rates-") as name:
        bench = Bench(Path(name), chosen.seed)
        for part in BARS:
            if part in chosen.parts:
                rows += rates(bench, part, chosen.records, chosen.rounds)
        if "peers" in chosen.parts:
            rows += peers(bench, chosen.records, chosen.rounds, chosen.datatrove_python)
        if "memory" in chosen.parts:
            amounts = memory(bench, chosen.memory_records)
    said = verdicts(rows, amounts)
    notes = [*ratios(rows)]
    if "peers" in chosen.parts and not chosen.datatrove_python:
        notes.append("datatrove: not measured (--datatrove-python)")
    if chosen.json:
        body = {"command": sys.argv, "host": machine, "rates": [asdict(row) for row in rows], "memory": [asdict(each) for each in amounts]}
        print(json.dumps({**body, "notes": notes, "bars": [{"said": line, "met": met} for line, met in said]}, indent=2))
    else:
        print(f"command: python {' '.join(sys.argv)}")
        print(", ".join(f"{key} {value}" for key, value in machine.items()))
        show(rows, amounts, said)
        print(*notes, sep="\n")
    return 0 if all(met for _, met in said) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing is left behind")
