"""A real child process stands for neuron-monitor: a script that writes reports in the form of AWS's user guide, fails, or stays silent."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stack.hardware_profiles.telemetry import neuron
from stack.hardware_profiles.telemetry.neuron import NeuronReader
from stack.hardware_profiles.tree import Tree, UnreadableError

pytestmark = pytest.mark.slow

REPORT = {"neuron_hardware_info": {"neuron_device_type": "trainium2", "neuron_device_count": 2, "neuron_device_memory_size": 103079215104, "error": ""}}
COUNTED = """\
import json, sys, time
report = json.loads({report!r})
configuration = json.load(open(sys.argv[sys.argv.index("-c") + 1]))
assert configuration["period"] == "1s"
print("a word on stderr", file=sys.stderr, flush=True)
for number in range(1, 10_000):
    report["system_data"] = {{"neuron_hw_counters": {{"neuron_devices": [{{"neuron_device_index": 0, "mem_ecc_corrected": number}}]}}}}
    print(json.dumps(report), flush=True)
    time.sleep(0.05)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a Python program on PATH as neuron-monitor."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def written(body: str) -> None:
        place = folder / "neuron-monitor"
        place.write_text(f"#!/usr/bin/env python3\n{body}\n")
        place.chmod(0o755)

    return written


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[NeuronReader]:
    (tmp_path / "sys/module/neuron").mkdir(parents=True)
    found = NeuronReader(Tree(tmp_path))
    yield found
    found.close()


def corrected(reader: NeuronReader) -> float:
    (count,) = (each.value for each in reader.read() if each.metric == "stackproof_gpu_ecc_errors_total")
    return count


def test_each_reading_is_the_newest_report_of_one_running_tool(install: Callable[[str], None], reader: NeuronReader) -> None:
    others = set(psutil.Process().children(recursive=True))  # what other tests of this process have started
    install(COUNTED.format(report=json.dumps(REPORT)))
    first = corrected(reader)
    time.sleep(0.5)
    later = corrected(reader)
    assert later >= first + 3  # older reports were passed over
    children = [each for each in psutil.Process().children(recursive=True) if each not in others]
    assert len([each for each in children if any("neuron-monitor" in word for word in each.cmdline()[:2])]) == 1
    reader.close()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    assert len(gone) == len(children)


def test_a_tool_that_ends_is_quoted_and_started_again_at_the_next_reading(install: Callable[[str], None], reader: NeuronReader) -> None:
    install("import sys; print('error: neuron driver is not installed', file=sys.stderr); sys.exit(3)")
    with pytest.raises(UnreadableError, match="neuron-monitor ended with status 3: error: neuron driver is not installed"):
        reader.read()
    install(COUNTED.format(report=json.dumps(REPORT)))
    assert corrected(reader) >= 1


def test_a_tool_that_stays_silent_is_given_up(install: Callable[[str], None], reader: NeuronReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neuron, "PATIENCE_S", 0.4)
    install("import time; time.sleep(60)")
    with pytest.raises(UnreadableError, match=r"neuron-monitor gave no report in 0\.4 s"):
        reader.read()


def test_a_report_larger_than_a_pipe_is_read_whole(install: Callable[[str], None], reader: NeuronReader) -> None:
    install(COUNTED.format(report=json.dumps({**REPORT, "padding": "x" * 300_000})))
    assert corrected(reader) >= 1


def test_a_machine_without_the_tool_is_told_so(reader: NeuronReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neuron, "find_tool", lambda _name: None)
    with pytest.raises(UnreadableError, match="neuron-monitor is not installed"):
        reader.read()
