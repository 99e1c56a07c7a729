"""MLPerf's own LoadGen as an oracle: its early-stopping estimates and its Poisson schedule against ours.

A real LoadGen test drives a system under test that does nothing but wait; its trace log holds the latency and the scheduled
time of each query to the nanosecond.
"""

import math
import random
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from conftest import RunLoad, StartMock  # type: ignore[import-not-found]

from bench.statistics.early_stopping import certification_floor, certified_percentile, overlatency_allowed

lg = pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is a dev dependency")
pytestmark = pytest.mark.slow

SAMPLE = re.compile(r'"name":"Sample","cat":"default","ph":"b","pid":\d+,"id":\d+,"ts":([\d.]+),"args":\{[^}]*"query_seq":(\d+)[^}]*"complete_ns":(\d+)\}')


def drive(out: Path, settings: object, wait: Callable[[], None]) -> tuple[str, list[float], list[int]]:
    """LoadGen's summary, the scheduled times in seconds in the order of the schedule, and the latencies in ns, ascending."""

    def issue(samples: list[object]) -> None:
        for sample in samples:
            wait()
            lg.QuerySamplesComplete([lg.QuerySampleResponse(sample.id, 0, 0)])  # type: ignore[attr-defined]

    out.mkdir()
    output = lg.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(out), False
    log = lg.LogSettings()
    log.log_output, log.enable_trace = output, True
    sut = lg.ConstructSUT(issue, lambda: None)
    library = lg.ConstructQSL(64, 64, lambda _: None, lambda _: None)
    # LoadGen calls back from threads of its own: it must not be waited for with the interpreter held.
    test = threading.Thread(target=lg.StartTestWithLogSettings, args=(sut, library, settings, log))
    test.start()
    test.join()
    lg.DestroyQSL(library)
    lg.DestroySUT(sut)
    found = sorted((int(seq), float(ts), int(latency)) for ts, seq, latency in SAMPLE.findall((out / "mlperf_log_trace.json").read_text()))
    return (out / "mlperf_log_summary.txt").read_text(), [ts / 1e6 for _, ts, _ in found], sorted(latency for _, _, latency in found)


def single_stream(out: Path, queries: int, share: float) -> tuple[str, list[int]]:
    draw = random.Random(queries)

    def wait() -> None:
        until = time.perf_counter_ns() + draw.lognormvariate(11, 0.7)  # about 60 us
        while time.perf_counter_ns() < until:
            pass

    settings = lg.TestSettings()
    settings.scenario, settings.mode = lg.TestScenario.SingleStream, lg.TestMode.PerformanceOnly
    settings.min_query_count = settings.max_query_count = queries
    settings.min_duration_ms = 0
    settings.single_stream_target_latency_percentile = share
    summary, _, latencies = drive(out, settings, wait)
    assert len(latencies) == queries
    return summary, latencies


@pytest.mark.parametrize(("queries", "share"), [(64, 0.90), (300, 0.90), (1500, 0.95), (2500, 0.99)])
def test_a_certified_percentile_is_the_early_stopping_estimate_of_loadgen(tmp_path: Path, queries: int, share: float) -> None:
    summary, latencies = single_stream(tmp_path / "log", queries, share)
    # LoadGen prints that of p99 twice where p99 is the target.
    (estimate,) = set(re.findall(rf"Early stopping {share * 100:.1f}th percentile estimate: (\d+)", summary))
    assert certified_percentile(latencies, share) == int(estimate)
    (discarded,) = re.findall(r"Would discard (\d+) highest latency queries", summary)
    assert overlatency_allowed(queries, share) == int(discarded) + 1  # the estimate is the largest that is left


@pytest.mark.parametrize(("queries", "share"), [(63, 0.90), (129, 0.95), (661, 0.99)])
def test_a_sample_too_small_to_certify_is_too_small_for_loadgen_and_by_the_same_number(tmp_path: Path, queries: int, share: float) -> None:
    summary, latencies = single_stream(tmp_path / "log", queries, share)
    assert certified_percentile(latencies, share) is None
    assert f"Need to process at least {certification_floor(share)} queries" in summary


def distance_from_exponential(at_s: npt.NDArray[np.float64], rate: float) -> float:
    """Kolmogorov and Smirnov's D of the gaps against 1 - exp(-rate * gap)."""
    gaps = np.sort(np.diff(at_s))
    expected, count = -np.expm1(-rate * gaps), len(gaps)
    return float(max(np.max(np.arange(1, count + 1) / count - expected), np.max(expected - np.arange(count) / count)))


def test_loadgens_poisson_schedule_and_ours_pass_the_same_test(tmp_path: Path, start_mock: StartMock, run_load: RunLoad) -> None:
    rate, count = 800, 1600
    settings = lg.TestSettings()
    settings.scenario, settings.mode = lg.TestScenario.Server, lg.TestMode.PerformanceOnly
    settings.server_target_qps, settings.schedule_rng_seed = rate, 3
    settings.min_query_count = settings.max_query_count = count
    settings.min_duration_ms = 0
    _, theirs, _ = drive(tmp_path / "log", settings, lambda: None)
    run = run_load(
        start_mock("--ttft-ms", "1"),
        seed=3,
        arrivals={"kind": "poisson", "rate": rate},
        prompts={"kind": "text", "text": "hello", "max_tokens": 1},
        stop={"requests": count},
    )
    ours = run.samples.requests["intended_ns"].to_numpy() / 1e9
    limit = 1.628 / math.sqrt(count)  # 1 % (Massey 1951)
    assert len(theirs) == len(ours) == count
    assert distance_from_exponential(np.array(theirs), rate) < limit
    assert distance_from_exponential(ours, rate) < limit
    assert distance_from_exponential(ours, rate * 1.2) > limit  # the test can fail
