"""Figures that cannot be right, among them those that really stood on the open web."""

from decimal import Decimal
from typing import Any

import pytest

from stack.hardware_profiles.catalog import Entry, Finding, check, check_entry, find_name, load_catalog


def changed(name: str, *, alias: str | None = None, **figures: Any) -> Entry:
    """A shipped entry with other figures (`peaks_fp8` for peaks.fp8); `alias` makes it one that the catalog does not know."""
    data: dict[str, Any] = find_name(name).model_dump(mode="json")
    for field, value in figures.items():
        holder = data["peaks"][field.removeprefix("peaks_")] if field.startswith("peaks_") else data[field]
        holder.update(value if isinstance(value, dict) else {"value": value, "low": None, "high": None})
    if alias is not None:
        data.update(name=alias, names=[])
    return Entry.model_validate(data)


def line(findings: tuple[Finding, ...] | list[Finding], field: str) -> str:
    """The findings of one field; empty when there is none."""
    return " | ".join(str(finding) for finding in findings if finding.field == field)


# Each was published somewhere; the second word is where it belongs and the third what it most likely is.
WRONG = [
    ("h200-sxm", {"peaks_fp8": 3940}, "peaks.fp8", "sparsity"),
    ("mi300x", {"peaks_fp16": 2615}, "peaks.fp16", "sparsity"),
    ("mi300x", {"peaks_fp16": 330.6}, "peaks.fp16", "vector rate"),
    ("b300", {"peaks_fp8": 7000}, "peaks.fp8", "neither dense nor sparse"),
]


@pytest.mark.parametrize(("name", "figures", "field", "likely"), WRONG)
def test_a_wrong_rate_is_found_by_comparison_with_the_catalog(name: str, figures: dict[str, Any], field: str, likely: str) -> None:
    report = check_entry(changed(name, **figures))
    assert report.shipped == name
    assert f"where the catalog has {find_name(name).peaks[field.removeprefix('peaks.')].value}" in line(report.findings, field)  # type: ignore[index]
    assert likely in line(report.findings, field)


@pytest.mark.parametrize(("name", "figures", "field", "likely"), WRONG)
def test_the_same_rate_is_found_by_ratios_where_the_catalog_knows_nothing(name: str, figures: dict[str, Any], field: str, likely: str) -> None:
    report = check_entry(changed(name, alias="somebodys-chip", **figures))
    assert report.shipped is None
    assert likely in line(report.findings, field)


def test_h200_fp8_written_in_petaflops_is_a_slip_in_the_unit() -> None:
    assert "PFLOP/s given as TFLOP/s" in line(check_entry(changed("h200-sxm", peaks_fp8=3.94)).findings, "peaks.fp8")


SWAPPED = [
    ("h100-pcie", {"power": 700, "memory_bandwidth": 3350}, "NVIDIA H100 SXM"),
    ("h100-sxm", {"power": 350, "memory_bandwidth": 2000}, "NVIDIA H100 PCIe"),
    ("h100-nvl", {"power": 700, "memory_bandwidth": 3350}, "NVIDIA H100 SXM"),
]


@pytest.mark.parametrize(("name", "figures", "owner"), SWAPPED)
def test_power_and_bandwidth_of_another_variant_are_found_and_their_owner_named(name: str, figures: dict[str, Any], owner: str) -> None:
    report = check_entry(changed(name, **figures))
    for field in figures:
        assert f"likely that of {owner}" in line(report.findings, field)


def test_an_entry_under_another_name_is_known_by_what_its_library_reports() -> None:
    mine = changed("h100-sxm", power=350).model_copy(update={"name": "our-gpu"})
    assert check_entry(mine).shipped == "h100-sxm"
    assert "power" in {finding.field for finding in check_entry(mine).findings}


def test_sparse_rates_of_all_types_together_keep_their_ratios_and_only_comparison_finds_them() -> None:
    rates = find_name("h100-sxm").peaks
    sparse: dict[str, Any] = {f"peaks_{dtype}": float((rates[dtype].value or 0) * 2) for dtype in ("tf32", "bf16", "fp16", "fp8", "int8")}  # type: ignore[index]
    assert check_entry(changed("h100-sxm", alias="somebodys-chip", **sparse)).findings == ()
    assert len(check_entry(changed("h100-sxm", **sparse)).findings) == 5


def test_a_rounded_figure_or_one_of_another_source_within_its_range_is_no_finding() -> None:
    assert check_entry(changed("mi300x", peaks_bf16=1300, peaks_fp16=1300, peaks_fp8=2610, peaks_int8=2600)).findings == ()
    assert check_entry(changed("b200", memory=192)).findings == ()
    assert check_entry(changed("h100-nvl", power=350)).findings == ()


def test_gaudi_3_may_run_fp8_no_faster_than_bf16_and_no_one_else_may_claim_it() -> None:
    assert check(find_name("gaudi3")) == []
    claimed = find_name("h100-sxm").model_dump(mode="json")
    claimed["peaks"]["fp8"]["value"] = 989.5
    claimed["unusual_ratios"] = {"fp8": {"ratio": 1, "why": "because"}}
    assert "0.5" not in line(check(Entry.model_validate(claimed)), "peaks.fp8")
    assert "peaks.fp8" in {finding.field for finding in check_entry(Entry.model_validate(claimed)).findings}


@pytest.mark.parametrize(
    ("name", "figures", "field", "likely"),
    [
        ("h100-sxm", {"memory_bandwidth": 3.35}, "memory_bandwidth", "TB/s given as GB/s"),
        ("h100-sxm", {"memory_bandwidth": 3_350_000}, "memory_bandwidth", "MB/s given as GB/s"),
        ("h100-sxm", {"memory": 81559}, "memory", "MB or MiB given as GB"),
        ("h100-sxm", {"power": 0.7}, "power", "kW given as W"),
        ("h100-sxm", {"power": 10200}, "power", "power of a node"),
        ("b200", {"peaks_bf16": 2.25}, "peaks.bf16", "PFLOP/s given as TFLOP/s"),
        ("gb200", {"die_area": {"value": 16, "status": "unverified", "source": "s"}}, "die_area", "cm2 given as mm2"),
        ("l40s", {"memory_bandwidth": 1597}, "memory_bandwidth", "more than GDDR6 gives"),
        ("gaudi2", {"memory_bandwidth": 4800}, "memory_bandwidth", "more than HBM2e gives"),
        ("h100-sxm", {"memory_kind": {"value": "HBM9"}}, "memory_kind", "write one of HBM2"),
        ("h100-sxm", {"power": 150}, "power", "TFLOP/s/W"),
        ("h100-sxm", {"peaks_fp64": 1979}, "peaks.fp64", "above bf16"),
    ],
)
def test_a_wrong_unit_or_an_impossible_figure_is_found_without_the_catalog(name: str, figures: dict[str, Any], field: str, likely: str) -> None:
    assert likely in line(check(changed(name, alias="somebodys-chip", **figures)), field)


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ({"source": ""}, "status published without a source"),
        ({"status": "unverified", "source": ""}, "status unverified without a source"),
        ({"value": None}, "status published without a value"),
        ({"status": "unknown"}, "status unknown beside the value 700"),
        ({"status": "unknown", "value": None, "note": ""}, "unknown without a reason"),
        ({"low": 710}, "700 lies outside its own range of 710 to 700"),
    ],
)
def test_a_figure_must_say_where_it_comes_from_or_why_it_is_unknown(figure: dict[str, object], said: str) -> None:
    assert said in line(check(changed("h100-sxm", power=figure)), "power")


def test_every_shipped_entry_agrees_with_itself_and_a_fifth_more_of_any_figure_is_found() -> None:
    for entry in load_catalog().values():
        assert check_entry(entry).findings == ()
        for field, figure in entry.figures().items():
            if figure.highest is None or "." in field.removeprefix("peaks."):
                continue
            raised: dict[str, Any] = {field.replace("peaks.", "peaks_"): float(figure.highest * Decimal("1.2"))}
            more = changed(entry.name, **raised)
            assert field in {finding.field for finding in check_entry(more).findings}, f"{entry.name}: {field}"
