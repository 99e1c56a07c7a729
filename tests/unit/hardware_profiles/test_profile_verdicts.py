"""Figures made of repetitions, and whether they can be believed."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.evidence import FigureClass
from stack.hardware_profiles.profile.judge import judge
from stack.hardware_profiles.profile.models import Disturbance, Group, Peak, Result, Status
from stack.hardware_profiles.profile.timing import figures, quantile

TIMES = st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=200)


def result(**changes: object) -> Result:
    """A plain good result of 80 % of a peak."""
    peak = Peak(value=100.0, kind=FigureClass.PUBLISHED, source="a data sheet")
    known = {"name": "gemm.float32", "group": Group.GEMM, "unit": "GFLOP/s", "work": 1e9, "median": 80.0, "cv": 0.01, "verified": True}
    return Result(**{**known, "peak": peak, "share_of_peak": 0.8, "status": Status.OK, **changes})


def disturbed(**changes: float) -> Disturbance:
    return Disturbance(**{"seconds": 1.0, "steal_share": 0.0, "others_share": 0.0, "throttled_s": 0.0, **changes})


def test_rates_are_work_over_time_in_decimal_units():
    found = figures([0.5, 1.0, 2.0], unit="GB/s", work=2e9)
    assert (found.best, found.median, found.p10, found.p90) == (4.0, 2.0, 1.0, 4.0)
    assert found.p99 is None


def test_latencies_are_in_microseconds_and_the_best_is_the_lowest():
    found = figures([1e-6 * each for each in range(1, 101)], unit="us", work=None)
    assert found.best == pytest.approx(1.0)
    assert found.p99 == pytest.approx(99.0)


def test_one_repetition_has_no_variation():
    assert figures([1.0], unit="GB/s", work=1e9).cv is None


@pytest.mark.parametrize("samples", [[], [0.0], [1.0, -1.0]])
def test_a_repetition_that_took_no_time_is_an_error_not_an_infinite_rate(samples: list[float]):
    with pytest.raises(ValueError, match="take time"):
        figures(samples, unit="GB/s", work=1.0)


@given(TIMES)
def test_figures_are_ordered_and_the_median_is_that_of_the_rates(times: list[float]):
    found = figures(times, unit="GFLOP/s", work=1e9)
    assert found.p10 <= found.p90 <= found.best
    assert found.median == pytest.approx(statistics.median(1.0 / each for each in times))


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_the_smallest_value_that_covers_its_share(values: list[float], share: float):
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9
    assert sum(value < found for value in ordered) < share * len(ordered)


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({}, Status.OK, ""),
        ({"share_of_peak": 1.05}, Status.OK, ""),
        ({"share_of_peak": 1.06}, Status.INVALID, "another product"),
        ({"share_of_peak": 0.29}, Status.SUSPICIOUS, "throttled"),
        ({"share_of_peak": None, "peak": None}, Status.OK, ""),
        ({"verified": False, "reason": "off by 3"}, Status.INVALID, "off by 3"),
        ({"verified": None}, Status.OK, ""),
        ({"cv": 0.11}, Status.NOISY, "vary by 11%"),
        ({"during": disturbed(others_share=0.4)}, Status.NOISY, "other processes used 40%"),
        ({"during": disturbed(steal_share=0.03)}, Status.NOISY, "the hypervisor took 3%"),
        ({"during": disturbed(throttled_s=0.5)}, Status.NOISY, "quota held threads back for 0.50 s"),
        ({"during": disturbed()}, Status.OK, ""),
        # The gravest fault is told: noise does not excuse a rate that cannot be.
        ({"share_of_peak": 1.5, "cv": 0.5}, Status.INVALID, "150% of the peak"),
        # A low share on a busy machine is the machine's fault first.
        ({"share_of_peak": 0.1, "cv": 0.5}, Status.NOISY, "vary"),
    ],
)
def test_a_result_is_judged_by_check_peak_and_noise(changes: dict[str, object], status: Status, word: str):
    found, reason = judge(result(**changes))
    assert found is status
    assert word in reason


def test_latencies_may_spread_but_not_beside_other_work():
    slow = {"name": "network.loopback.round_trip", "group": Group.NETWORK, "unit": "us", "work": None, "cv": 3.0, "peak": None, "share_of_peak": None}
    assert judge(result(**slow))[0] is Status.OK
    assert judge(result(**slow, during=disturbed(others_share=0.5)))[0] is Status.NOISY


def test_stolen_time_is_the_disks_own_while_a_disk_is_measured():
    disk = {"name": "storage.read", "group": Group.STORAGE, "unit": "GB/s", "peak": None, "share_of_peak": None}
    assert judge(result(**disk, during=disturbed(steal_share=0.3)))[0] is Status.OK
    assert judge(result(**disk, during=disturbed(steal_share=0.3, others_share=0.5)))[0] is Status.NOISY


def test_what_was_skipped_stays_skipped_with_its_reason():
    assert judge(result(status=Status.SKIPPED, reason="no room", cv=9.0)) == (Status.SKIPPED, "no room")
