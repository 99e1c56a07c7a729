"""Runs that are killed, and runs on a disk that is full."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.labeling_faults import run_chain

pytestmark = pytest.mark.slow

SMALL_DISK = """
set -e
mount -t tmpfs -o size=2m tmpfs {disk}
status=0
{run} > {here}/first 2>&1 || status=$?
echo $status > {here}/status
mount -o remount,size=200m {disk}
{run} > {here}/second 2>&1
cp {disk}/out/labels.parquet {here}/labels.parquet
"""

PIPELINE = """
name: notes
title: Notes
stages:
  - kind: read
    sources: [{name: notes, path: notes.csv, licence: CC0-1.0, origin: written for this test}]
    shard_records: 5000
  - {kind: normalise}
  - {kind: write}
"""


def test_runs_killed_at_random_points_give_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    chain = run_chain(tmp_path, points=5, executor="local", seed=3, records=300)
    assert chain.killed >= 3
    assert chain.equal
    assert chain.asked_again <= chain.killed * chain.most_in_flight


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip(reason="this machine lets nobody make a mount namespace, so no small disk can be made")
    with (tmp_path / "notes.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["text"], *([f"note {number} of {number * 7919 % 1_000_003}"] for number in range(40_000))])
    (tmp_path / "notes.yaml").write_text(PIPELINE)
    (tmp_path / "disk").mkdir()

    def command(out: Path) -> str:
        return f"{sys.executable} -m stack.cli.main label run {tmp_path}/notes.yaml --executor local --out {out}"

    script = SMALL_DISK.format(disk=tmp_path / "disk", here=tmp_path, run=command(tmp_path / "disk" / "out"))
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + (tmp_path / "first").read_text()
    told = (tmp_path / "first").read_text()
    assert (tmp_path / "status").read_text() == "2\n", told
    assert "no room left at" in told.splitlines()[-1]
    assert "Traceback" not in told
    assert "already committed" in (tmp_path / "second").read_text()
    subprocess.run(command(tmp_path / "clean").split(), check=True, capture_output=True, timeout=120)
    assert (tmp_path / "labels.parquet").read_bytes() == (tmp_path / "clean" / "labels.parquet").read_bytes()
