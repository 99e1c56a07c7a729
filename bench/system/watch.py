"""The watch over the system under test, from the load generator's side (edge): starts the sampling process and ends it."""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from bench.load.progress import Progress
from bench.results.files import SYSTEM
from bench.system.address import metrics_page
from bench.system.protocol import END, READ_TIMEOUT_S, SETTLE_S, Options, progress_line
from bench.system.readings import Writer, has_sample
from stack.runtime.net import LOOPBACK, require_free
from stack.runtime.process import Child

READY_TIMEOUT_S = 10.0
"""A sampling process that has taken no sample by then is not waited for any longer; one that ended is not waited for at all."""

SAMPLES, LOG = RAW = (".system.jsonl", ".system.log")
"""In the folder of the run while it lasts; they outlive a SIGKILL."""

END_TIMEOUT_S = 2 * READ_TIMEOUT_S + SETTLE_S + 1.0
"""A read that is under way and the last one, each at its longest."""

POLL_S = 0.01


class SystemWatch:
    """Use it as a context manager around the load: however that ends, the sampling process ends with it.

    Nothing that happens to the sampling process raises here, and nothing is waited for longer than the limits above; what went
    wrong is told in system.parquet.
    """

    def __init__(self, child: Child, pipe: int, folder: Path, out: Path) -> None:
        self._child = child
        self._pipe = pipe
        self._folder = folder
        self._out = out
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

        BenchError when `metrics_url` is no address or the key cannot be read, StackproofError when `prometheus_port` is taken. A system.parquet of an earlier
        run in `out` is removed.
        """
        page = metrics_page(url, metrics_url, key_file=metrics_key_file, ca_file=ca_file)
        if prometheus_port is not None:
            require_free(LOOPBACK, prometheus_port, option="--prometheus-port")
        out.mkdir(parents=True, exist_ok=True)
        (out / SYSTEM).unlink(missing_ok=True)
        _remove_raw(out)
        with (out / SAMPLES).open("w", encoding="utf-8") as stream:
            Writer(stream).about(every_s=every_s, metrics_url=page.url)
        folder = Path(tempfile.mkdtemp(prefix="stackproof-"))  # not every place for results can hold a pipe
        progress = folder / "progress"
        os.mkfifo(progress, mode=0o600)
        # Open at both ends here: it can be written to before the child listens, and no signal comes when the child is gone.
        pipe = os.open(progress, os.O_RDWR | os.O_NONBLOCK)
        options = Options(
            samples=str(out / SAMPLES),
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
            child = Child.start("system watch", command, log=out / LOG, grace_s=1.0)
        except BaseException:
            os.close(pipe)
            shutil.rmtree(folder, ignore_errors=True)
            _remove_raw(out)
            raise
        return cls(child, pipe, folder, out)

    def wait_first_sample(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until every source was asked once, so that counters are known before the load begins; never longer than `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self._child.exit_status is None and not has_sample(self._out / SAMPLES):
            time.sleep(POLL_S)

    def progress(self, snapshot: Progress) -> None:
        """Tell the sampling process how the load goes; never blocks: what does not fit into the pipe is dropped."""
        with contextlib.suppress(OSError):
            os.write(self._pipe, progress_line(snapshot))

    def finish(self, started_ns: int) -> None:
        """Take a last sample, end the sampling process, and write system.parquet with stamps relative to `started_ns`."""
        self._end()
        with contextlib.suppress(OSError):  # no room: the run is not watched, then
            from bench.system.table import write_table  # pyarrow, which takes longer to load than a load generator to start

            write_table(self._out / SAMPLES, self._out, started_ns=started_ns, fault=self._fault)

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
        shutil.rmtree(self._folder, ignore_errors=True)
        _remove_raw(self._out)


def recover_watch(out: Path, started_ns: int) -> None:
    """Make system.parquet of what the watch of a run that died had flushed into `out`, or let one that is there already count from
    `started_ns`; nothing where there was no watch."""
    from bench.system.table import rebase_table, write_table

    if (out / SAMPLES).exists():
        write_table(out / SAMPLES, out, started_ns=started_ns, fault="the load generator died")
        _remove_raw(out)
    elif (out / SYSTEM).exists():
        rebase_table(out, started_ns=started_ns)


def _remove_raw(out: Path) -> None:
    for name in RAW:
        (out / name).unlink(missing_ok=True)
