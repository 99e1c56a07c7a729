from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from system_kit import S, watch

from bench.system.energy import Asked, EnergyUnknownError, counter_joules, energy_of, power_joules
from bench.system.host import CpuEnergyReader
from bench.system.models import Energy
from bench.system.readings import UnreadableError
from bench.system.series import Floats, Series, SeriesBook

REASONS: dict[Any, str] = {"accelerator": "NVML: no driver", "energy": "Permission denied"}


def series(values: dict[float, float], **labels: str) -> Series:
    times: Floats = np.array([second * S for second in values], dtype=np.float64)
    return Series("accelerator", "x", labels, times, np.array(list(values.values()), dtype=np.float64))


def accelerators(folder: Path, *samples: dict[str, float], same_host: bool | None = True, begin_s: float = 1, end_s: float = 3) -> Energy:
    """Energy between two moments of samples taken each second from 0 on, with 100 output tokens."""
    table = watch(folder, *((second, "accelerator", values) for second, values in enumerate(samples)), same_host=same_host)
    found = energy_of(SeriesBook(table, model=None), Asked((begin_s * S, end_s * S), 100, same_host), REASONS)
    assert [each.device for each in found] == ["accelerators", "cpu packages"]
    assert found[1].reason == "Permission denied"
    return found[0]


def test_a_counter_is_read_off_between_its_samples_at_the_edges_of_the_window() -> None:
    counter = series({0: 1000, 1: 1100, 2: 1300, 3: 1400})
    assert counter_joules(counter, 0.5 * S, 2.5 * S) == pytest.approx(300)
    assert counter_joules(counter, 0, 3 * S) == pytest.approx(400)


def test_a_counter_that_wrapped_goes_on_from_where_it_wraps() -> None:
    assert counter_joules(series({0: 90, 1: 98, 2: 6}, wraps_j="100.0"), 0, 2 * S) == pytest.approx(16)


def test_a_counter_that_went_back_and_does_not_wrap_is_unknown() -> None:
    with pytest.raises(EnergyUnknownError, match="went back"):
        counter_joules(series({0: 90, 1: 98, 2: 6}), 0, 2 * S)


def test_power_is_integrated_by_trapezoids_and_cut_at_the_edges() -> None:
    assert power_joules(series({0: 100, 1: 200, 2: 200}), 0.5 * S, 2 * S) == pytest.approx(0.5 * 175 + 200)


def test_power_that_was_not_sampled_for_more_than_three_seconds_is_unknown() -> None:
    with pytest.raises(EnergyUnknownError, match="for more than 3 s"):
        power_joules(series({0: 100, 1: 100, 5: 100, 6: 100}), 0.5 * S, 5.5 * S)


def test_a_window_that_the_samples_do_not_span_is_unknown() -> None:
    with pytest.raises(EnergyUnknownError, match="both sides"):
        counter_joules(series({1: 0, 2: 1}), 0, 2 * S)


@given(st.lists(st.floats(0, 1e4), min_size=3, max_size=20), st.floats(0.01, 0.99))
def test_the_energy_of_two_halves_is_that_of_the_whole(watts: list[float], share: float) -> None:
    power, end = series(dict(enumerate(watts))), (len(watts) - 1) * S
    middle = share * end
    whole = power_joules(power, 0, end)
    assert power_joules(power, 0, middle) + power_joules(power, middle, end) == pytest.approx(whole, rel=1e-9, abs=1e-6)


def test_the_counter_is_quoted_and_integrated_power_checks_it(tmp_path: Path) -> None:
    found = accelerators(tmp_path, *({"energy_j_total": 5000 + 300 * second, "power_w": 300} for second in range(5)))
    assert (found.source, found.tier, found.joules, found.mean_w) == (
        "nvml energy counter",
        "informative, device level",
        pytest.approx(600),
        pytest.approx(300),
    )
    assert found.output_tokens_per_joule == pytest.approx(100 / 600)
    assert (found.cross_check, found.reason) == (pytest.approx(0), "")


def test_power_that_leaves_the_counter_by_more_than_five_percent_is_told(tmp_path: Path) -> None:
    found = accelerators(tmp_path, *({"energy_j_total": 300 * second, "power_w": 330} for second in range(5)))
    assert (found.joules, found.cross_check) == (pytest.approx(600), pytest.approx(0.1))
    assert "+10% of the counter (limit 5%)" in found.reason


def test_without_a_counter_power_is_integrated_and_named_so(tmp_path: Path) -> None:
    found = accelerators(tmp_path, *({"power_w": 250} for _ in range(5)))
    assert (found.source, found.joules, found.cross_check) == ("nvml power, integrated", pytest.approx(500), None)


def test_what_could_not_be_read_stays_unknown_with_the_reason(tmp_path: Path) -> None:
    found = accelerators(tmp_path)
    assert (found.joules, found.output_tokens_per_joule, found.reason) == (None, None, "NVML: no driver")


@pytest.mark.parametrize(("same_host", "reason"), [(False, "another machine"), (None, "unknown whether the server is on this machine")])
def test_the_energy_of_this_machine_is_never_shown_for_a_server_elsewhere(tmp_path: Path, same_host: bool | None, reason: str) -> None:
    found = accelerators(tmp_path, *({"energy_j_total": 300 * second} for second in range(5)), same_host=same_host)
    assert found.joules is None
    assert reason in found.reason


def domain(root: Path, name: str, label: str, energy_uj: str) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(label + "\n")
    (folder / "max_energy_range_uj").write_text("262143328850\n")
    (folder / "energy_uj").write_text(energy_uj)


def test_packages_are_read_once_and_their_parts_not_again(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", "5000000\n")
    domain(tmp_path, "intel-rapl:0:0", "core", "4000000\n")
    domain(tmp_path, "intel-rapl:1", "package-1", "7000000\n")
    domain(tmp_path, "intel-rapl:2", "psys", "9000000\n")
    found = CpuEnergyReader(tmp_path).read()
    assert [(reading.metric, reading.value) for reading in found] == [("energy_j_total", 5.0), ("energy_j_total", 7.0)]
    assert '"wraps_j":"262143.32885"' in found[0].labels


def test_a_host_without_energy_counters_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no RAPL package domain"):
        CpuEnergyReader(tmp_path / "absent").read()


def test_a_counter_that_is_no_number_is_a_reason(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", "many\n")
    with pytest.raises(UnreadableError, match="not a number"):
        CpuEnergyReader(tmp_path).read()
