"""Kill labeling runs at random points and hold what comes of it to a run that nobody killed.

    .venv/bin/python benchmarks/labeling_faults.py [--points 20] [--executor ray|local] [--seed 1]

A chat server counts what it is asked (a mock: every answer takes 20 ms). A chain of runs goes into one folder; each is ended by SIGKILL
of the driver, or of one of its Ray workers (in turn, with Ray), after a random number of further answers. The last run goes to its end.
It must give the same bytes as an undisturbed run, and no answer that had reached the run may be paid for again: what was asked twice is at
most what was in flight when a process died. Exit status 1 when either does not hold.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

LABELS = ["good", "bad"]
RECORDS = 600
SHARD = 20
IN_FLIGHT = 8
ANSWER_S = 0.02
APART = {".lock", "openlineage.jsonl"}
"""Files of a run that are no part of the dataset."""
WAIT_S = 300.0


@dataclass
class Counting:
    """A chat server in a thread: answers after a while, and counts each text that it is asked about."""

    asked: Counter[str] = field(default_factory=Counter)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator["Counting"]:
        loop, ready = asyncio.new_event_loop(), threading.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._client, "127.0.0.1", 0)
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()

        def work() -> None:
            asyncio.set_event_loop(loop)
            loop.create_task(serve())
            loop.run_forever()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        ready.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length")), 0)
                body = await reader.readexactly(length)
                writer.write(await self._answer(head.split(" ", 1)[0], body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, method: str, body: bytes) -> bytes:
        answer: dict[str, object] = {"data": [{"id": "mock"}]}
        if method == "post":
            text = json.loads(body)["messages"][-1]["content"]
            self.asked[text] += 1
            await asyncio.sleep(ANSWER_S)
            choice = {"index": 0, "message": {"role": "assistant", "content": LABELS[len(text) % 2]}, "finish_reason": "stop"}
            answer = {"object": "chat.completion", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}
        data = json.dumps(answer).encode()
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)


@dataclass(frozen=True)
class Chain:
    """What a chain of killed runs came to."""

    killed: int
    equal: bool
    records: int
    asked_again: int
    most_in_flight: int
    seconds: float

    @property
    def holds(self) -> bool:
        return self.equal and self.asked_again <= self.killed * self.most_in_flight


def write_pipeline(folder: Path, records: int) -> Path:
    lines = [json.dumps({"text": f"note {number} of this test is {'very ' * (number % 3)}good"}) for number in range(records)]
    (folder / "notes.jsonl").write_text("\n".join([*lines, lines[0], "{"]) + "\n")
    source = {"name": "notes", "path": "notes.jsonl", "licence": "CC0-1.0", "origin": "written for this test"}
    labelers = [
        {"kind": "keywords", "name": "words", "lexicon": {"good": ["very good"], "bad": ["bad"]}},
        {"kind": "llm", "name": "model", "prompt": "{text}", "concurrency": IN_FLIGHT},
    ]
    stages = [
        {"kind": "read", "sources": [source], "shard_records": 100},
        {"kind": "normalise"},
        {"kind": "dedup"},
        {"kind": "label", "shard_records": SHARD, "labelers": labelers},
        {"kind": "aggregate"},
        {"kind": "write"},
    ]
    path = folder / "notes.yaml"
    path.write_text(yaml.safe_dump({"name": "notes", "title": "Notes", "labels": LABELS, "stages": stages}))
    return path


def start(pipeline: Path, out: Path, url: str, executor: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "stack.cli.main", "label", "run", str(pipeline), "--url", url, "--out", str(out), "--executor", executor]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def dataset(out: Path) -> dict[str, bytes]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in APART and not {"logs", "answers"} & set(path.parts)]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def run_chain(folder: Path, *, points: int, executor: str, seed: int, records: int = RECORDS) -> Chain:
    """Kill `points` times, finish, and compare with an undisturbed run."""
    draw = random.Random(seed)
    pipeline, started, killed = write_pipeline(folder, records), time.monotonic(), 0
    with Counting().running() as server:
        while killed < points:
            process = start(pipeline, folder / "out", server.url, executor)
            try:
                # A worker's death is survived by its run: the next point is in the same run.
                while killed < points and _wait(process, server, draw.randint(0, records // max(1, points))):
                    killed += 1
                    if not _kill(process, worker=executor == "ray" and killed % 2 == 0):
                        break
            finally:
                _end(process)
            if process.returncode == 0:
                break
        last = start(pipeline, folder / "out", server.url, executor)
        _, errors = last.communicate(timeout=WAIT_S)
        assert last.returncode == 0, errors.decode()
        again = sum(count - 1 for count in server.asked.values())
        clean = start(pipeline, folder / "clean", server.url, executor)
        assert clean.wait(WAIT_S) == 0
    return Chain(killed, dataset(folder / "out") == dataset(folder / "clean"), records, again, IN_FLIGHT, time.monotonic() - started)


def _wait(process: subprocess.Popen[bytes], server: Counting, answers: int) -> bool:
    """Until so many more were asked for; False when the run ended before."""
    until, deadline = sum(server.asked.values()) + answers, time.monotonic() + WAIT_S
    time.sleep(0.01)
    while sum(server.asked.values()) < until or not server.asked:
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "the run does not come forward"
        time.sleep(0.005)
    return process.poll() is None


def _kill(process: subprocess.Popen[bytes], *, worker: bool) -> bool:
    """Whether the run itself goes on."""
    if worker:
        found = [child for child in psutil.Process(process.pid).children(recursive=True) if child.name().startswith("ray::run_shard")]
        if found:
            found[0].kill()
            return True
    process.kill()
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=WAIT_S)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--executor", choices=("ray", "local"), default="ray")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stackproof-faults-") as folder:
        chain = run_chain(Path(folder), points=asked.points, executor=asked.executor, seed=asked.seed)
    print(f"{chain.killed} kills ({asked.executor}), {chain.records} records, {chain.seconds:.0f} s")
    print(f"same bytes as an undisturbed run: {'yes' if chain.equal else 'NO'}")
    print(f"asked again: {chain.asked_again} (at most {chain.most_in_flight} in flight at each kill)")
    return 0 if chain.holds else 1


if __name__ == "__main__":
    sys.exit(main())
