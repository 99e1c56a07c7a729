"""The reference server in a process of its own, and runs against it."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from bench import Summary, Workload
from bench.results.files import REQUESTS, TOKENS
from bench.results.samples import Samples, read_samples
from bench.run import RunOptions, Watching, run_workload
from stack.runtime.process import Child
from stack.runtime.progress import Reporter


@dataclass(frozen=True)
class Mock:
    """A running reference server and its log of what it really did."""

    url: str
    log: Path

    def truth(self) -> dict[str, dict[str, Any]]:
        """What the server did, by request id."""
        return {line["request_id"]: line for line in map(json.loads, self.log.read_text().splitlines())}


StartMock = Callable[..., Mock]


@pytest.fixture
def start_mock(tmp_path: Path) -> Iterator[StartMock]:
    """Start `python -m bench.mock` with options as on its command line."""
    children: list[Child] = []

    def start(*options: str) -> Mock:
        number = len(children)
        output, log = tmp_path / f"mock{number}.out", tmp_path / f"truth{number}.jsonl"
        child = Child.start("mock", [sys.executable, "-m", "bench.mock", "--log", str(log), *options], log=output)
        children.append(child)
        child.wait_ready(lambda: output.read_text().endswith("\n"), timeout_s=30)
        return Mock(url=output.read_text().split()[-1], log=log)

    yield start
    for child in children:
        child.stop()


@dataclass(frozen=True)
class Result:
    """One finished run."""

    summary: Summary
    samples: Samples
    out: Path


RunLoad = Callable[..., Result]


@pytest.fixture
def run_load(tmp_path: Path) -> RunLoad:
    """Run a small workload: closed loop with 4 streams, or what is given; neither watched nor drawn unless `options` say so."""

    def run(mock: Mock, *, seed: int | None = None, ca_file: Path | None = None, options: RunOptions | None = None, **fields: Any) -> Result:
        document: dict[str, Any] = {
            "name": "small",
            "model": "mock",
            "arrivals": {"kind": "concurrency", "streams": 4},
            "prompts": {"kind": "text", "text": "hello", "max_tokens": 16},
            "stop": {"requests": 8},
            "timeout_s": 30,
        }
        out = tmp_path / "run"
        workload = Workload.model_validate({**document, **fields})
        options = options or RunOptions(watching=Watching(on=False), report=False)
        summary = run_workload(workload, url=mock.url, out=out, seed=seed, ca_file=ca_file, reporter=Reporter(StringIO()), options=options)
        return Result(summary=summary, samples=read_samples(out / REQUESTS, out / TOKENS), out=out)

    return run
