"""The watch over the system under test, from the load generator's side (edge): starts the sampling process and ends it."""

import contextlib
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from bench.load.progress import Progress
from bench.system.address import metrics_page
from bench.system.protocol import END, READ_TIMEOUT_S, SETTLE_S, Options, progress_line
from bench.system.readings import has_sample
from bench.system.table import SYSTEM, write_table
from stack.runtime.net import LOOPBACK, require_free
from stack.runtime.process import Child

READY_TIMEOUT_S = 2.0
"""A sampling process that has taken no sample by then is not waited for any longer."""

END_TIMEOUT_S = 2 * READ_TIMEOUT_S + SETTLE_S + 1.0
"""A read that is under way and the last one, each at its longest."""

POLL_S = 0.01


class SystemWatch:
    """Use it as a context manager around the load: however that ends, the sampling process ends with it.

    Nothing that happens to the sampling process raises here, and nothing is waited for longer than the limits above; what went
    wrong is told in system.parquet.
    """

    def __init__(self, child: Child, pipe: int, *, samples: Path, progress: Path, out: Path, every_s: float, metrics_url: str) -> None:
        self._child = child
        self._pipe = pipe
        self._samples, self._progress, self._out = samples, progress, out
        self._every_s, self._metrics_url = every_s, metrics_url
        self._fault = ""

    @classmethod
    def start(
        cls,
        *,
        url: str,
        out: Path,
        metrics_url: str | None = None,
        metrics_key_file: Path | None = None,
        ca_file: Path | None = None,
        every_s: float = 1.0,
        prometheus_port: int | None = None,
    ) -> Self:
        """Start sampling for a run against `url` whose files go to `out`; returns at once.

        BenchError when `metrics_url` is no address, StackproofError when `prometheus_port` is taken. A system.parquet of an earlier
        run in `out` is removed.
        """
        page = metrics_page(url, metrics_url, key_file=metrics_key_file, ca_file=ca_file)
        if prometheus_port is not None:
            require_free(LOOPBACK, prometheus_port, option="--prometheus-port")
        out.mkdir(parents=True, exist_ok=True)
        (out / SYSTEM).unlink(missing_ok=True)
        samples, progress = (out / f".system.{os.getpid()}.{suffix}" for suffix in ("jsonl", "pipe"))
        for path in (samples, progress):
            path.unlink(missing_ok=True)
        os.mkfifo(progress, mode=0o600)
        # Open at both ends here: it can be written to before the child listens, and no signal comes when the child is gone.
        pipe = os.open(progress, os.O_RDWR | os.O_NONBLOCK)
        options = Options(
            samples=str(samples),
            progress=str(progress),
            every_s=every_s,
            metrics_url=page.url,
            key_file=None if page.key_file is None else str(page.key_file),
            ca_file=None if page.ca_file is None else str(page.ca_file),
            server_host=urlsplit(url).hostname or "",
            prometheus_port=prometheus_port,
        )
        try:
            command = [sys.executable, "-m", "bench.system.sampler", options.to_json()]
            child = Child.start("system watch", command, log=samples.with_suffix(".log"), grace_s=1.0)
        except BaseException:
            os.close(pipe)
            progress.unlink(missing_ok=True)
            raise
        return cls(child, pipe, samples=samples, progress=progress, out=out, every_s=every_s, metrics_url=page.url)

    def wait_first_sample(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until every source was asked once, so that counters are known before the load begins; never longer than `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self._child.exit_status is None and not has_sample(self._samples):
            time.sleep(POLL_S)

    def progress(self, snapshot: Progress) -> None:
        """Tell the sampling process how the load goes; never blocks: what does not fit into the pipe is dropped."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, progress_line(snapshot))

    def finish(self, started_ns: int) -> None:
        """Take a last sample, end the sampling process, and write system.parquet with stamps relative to `started_ns`."""
        self._end()
        write_table(self._samples, self._out, started_ns=started_ns, every_s=self._every_s, metrics_url=self._metrics_url, fault=self._fault)

    def _end(self) -> None:
        if self._child.exit_status is not None:
            self._fault = f"the sampling process ended before the run, with status {self._child.exit_status}: {self._child.last_words()}"
            return
        with contextlib.suppress(OSError):
            while os.read(self._pipe, 1 << 16):  # what the child did not take up would keep `end` from getting in
                pass
        with contextlib.suppress(OSError):
            os.write(self._pipe, b"\n" + END + b"\n")
        deadline = time.monotonic() + END_TIMEOUT_S
        while self._child.exit_status is None:
            if time.monotonic() > deadline:
                self._fault = f"the sampling process did not end within {END_TIMEOUT_S:g} s and was stopped"
                return
            time.sleep(POLL_S)
        if self._child.exit_status != 0:
            self._fault = f"the sampling process ended with status {self._child.exit_status}: {self._child.last_words()}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._child.stop()
        os.close(self._pipe)
        for path in (self._samples, self._samples.with_suffix(".log"), self._progress):
            path.unlink(missing_ok=True)
