"""The shipped catalog, its loader, and which entry an inventory's accelerator is."""

from decimal import Decimal
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles.catalog import CatalogError, Entry, check, find_entry, find_name, load_catalog, match, parse_entry
from stack.hardware_profiles.inventory import Accelerator

DATA = files("stack.hardware_profiles.catalog") / "data"
H100 = (DATA / "h100-sxm.yaml").read_text()


def accelerator(name: str | None, memory_gb: float | None = None) -> Accelerator:
    nothing = dict.fromkeys(
        ("uuid", "pci_bus", "driver", "compute_capability", "power_limit_w", "max_sm_clock_mhz", "ecc_enabled", "mig_enabled"),
    )
    memory = None if memory_gb is None else int(memory_gb * 1e9)
    return Accelerator.model_validate({"index": 0, "vendor": "V", "source": "pci", "name": name, "memory_bytes": memory, **nothing})


def test_every_entry_is_named_after_its_file() -> None:
    assert sorted(load_catalog()) == sorted(file.name.removesuffix(".yaml") for file in DATA.iterdir() if file.name.endswith(".yaml"))


@pytest.mark.parametrize("name", sorted(load_catalog()))
def test_nothing_is_found_in_a_shipped_entry(name: str) -> None:
    assert [str(finding) for finding in check(find_name(name))] == []


def test_no_two_entries_claim_the_same_reported_name() -> None:
    names = [name.casefold() for entry in load_catalog().values() for name in entry.names]
    assert len(names) == len(set(names))


def test_general_knowledge_is_never_called_published() -> None:
    for entry in load_catalog().values():
        for field, figure in {**entry.figures(), **entry.statements()}.items():
            vague = "general knowledge" in figure.source or "not named" in figure.source
            assert not (vague and figure.status == "published"), f"{entry.name}: {field}"


# TPP = dense rate x bits, the greatest over the data types, of one integrated circuit: the facts' own column.
@pytest.mark.parametrize(
    ("name", "tpp"),
    [
        *(("a100-sxm-40gb", 4992), ("a100-pcie-80gb", 4992), ("l4", 1940), ("l40s", 5864), ("h100-sxm", 15832), ("h100-pcie", 12104), ("h100-nvl", 13368)),
        *(("h200-sxm", 15832), ("b200", 36000), ("gb200", 40000), ("b300", 50400), ("gb300", 60000), ("mi250x", 6128), ("mi300x", 20919.2)),
        *(("mi325x", 20919.2), ("mi355x", 60600), ("gaudi2", 6920), ("gaudi3", 29360), ("tpu-v5p", 7344), ("tpu-v6e", 14688)),
        *(("ai100-ultra", 1740), ("mi210", 2899.2)),
    ],
)
def test_rates_times_bits_give_the_total_processing_performance_of_the_rules(name: str, tpp: float) -> None:
    entry = find_name(name)
    bits = {"fp64": 64, "bf16": 16, "fp16": 16, "fp8": 8, "int8": 8, "fp6": 6, "fp4": 4}
    rates = {dtype: entry.peak(dtype) for dtype in bits}
    most = max(rate.value * bits[dtype] for dtype, rate in rates.items() if rate is not None and rate.value is not None)
    assert most / entry.ics == Decimal(str(tpp))


def test_the_share_others_reached_divides_by_the_catalogs_own_peak() -> None:
    assert find_name("a100-sxm-80gb").expected_share("bf16") == Decimal("271.2") / 312
    assert find_name("mi300x").expected_share("bf16") == Decimal("668.4") / Decimal("1307.4")
    assert find_name("h100-sxm").expected_share("fp16") is None
    assert all(0 < share < 1 for entry in load_catalog().values() for dtype in entry.peaks if (share := entry.expected_share(dtype)) is not None)


def test_an_unknown_rate_is_no_peak_and_says_why() -> None:
    gaudi = find_name("gaudi2")
    assert gaudi.peak("int8") is None
    assert "publishes no rate" in gaudi.peaks["int8"].note  # type: ignore[index]
    assert gaudi.peak("fp4") is None
    assert gaudi.peak("int3") is None


def test_figures_keep_the_digits_of_the_file() -> None:
    assert find_name("mi300x").peaks["fp8"].value == Decimal("2614.9")  # type: ignore[index]
    assert find_name("inferentia2").memory_bandwidth.value == Decimal("880.468")
    assert '"value":2614.9' in find_name("mi300x").model_dump_json()


@pytest.mark.parametrize(
    ("name", "memory_gb", "entry"),
    [
        ("NVIDIA H100 80GB HBM3", 85.5, "h100-sxm"),
        ("NVIDIA H100 PCIe", 85.5, "h100-pcie"),
        ("NVIDIA H100 NVL", 100.5, "h100-nvl"),
        ("NVIDIA H200", 150.7, "h200-sxm"),
        ("NVIDIA H200 NVL", 150.7, "h200-nvl"),
        ("NVIDIA A100-SXM4-80GB", 85.9, "a100-sxm-80gb"),
        ("NVIDIA A100 80GB PCIe", None, "a100-pcie-80gb"),
        ("nvidia  l4", 24.1, "l4"),
        ("NVIDIA L40S", 48.3, "l40s"),
        ("NVIDIA B200", 192.2, "b200"),
        ("Tesla T4", 15.8, "t4"),
        ("GH100 [H100 SXM5 80GB]", None, "h100-sxm"),
        ("AMD Instinct MI250X", 68.7, "mi250x"),
        ("Aqua Vanjaram [Instinct MI300X]", 206.1, "mi300x"),
        ("PCI device 10de:2330", None, "h100-sxm"),
        ("PCI device 1da3:1060", None, "gaudi3"),
        ("HL-225", 103.0, "gaudi2"),
        ("TPU v5e", None, "tpu-v5e"),
        ("Trainium2", 103.0, "trainium2"),
    ],
)
def test_an_accelerator_is_found_by_the_name_it_reports(name: str, memory_gb: float | None, entry: str) -> None:
    found = find_entry(accelerator(name, memory_gb))
    assert found is not None
    assert found.name == entry


@pytest.mark.parametrize(
    ("name", "memory_gb", "reason"),
    [
        ("NVIDIA H100", 85.5, "variants are not guessed: the catalog has NVIDIA H100 NVL"),
        ("NVIDIA H100 80GB HBM2e", None, "variants are not guessed"),
        ("Aldebaran/MI200 [Instinct MI250X/MI250]", None, "the catalog has AMD Instinct MI250X, and none of them alone reports itself as"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 5.0, "variants are not guessed"),
        ("NVIDIA H100 80GB HBM3", 10.7, "reports 10.7 GB of memory where NVIDIA H100 SXM has 80 GB: a partition of it, or another variant"),
        ("AMD Instinct MI250X", 137.4, "has 128 GB in 2 devices"),
        ("NVIDIA GeForce RTX 4090", 25.8, "the catalog has no accelerator that reports itself as"),
        (None, 85.5, "name could not be read"),
    ],
)
def test_a_variant_is_never_guessed_and_the_reason_is_told(name: str | None, memory_gb: float | None, reason: str) -> None:
    found = match(accelerator(name, memory_gb), load_catalog().values())
    assert found.entry is None
    assert reason in found.reason


def test_half_a_package_of_two_devices_has_half_its_rates() -> None:
    package = find_name("mi250x")
    assert package.peak_per_device("bf16") == Decimal("191.5")
    assert package.bandwidth_per_device == 1640
    assert find_name("h100-sxm").peak_per_device("fp8") == 1979


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("ics: 1", "ics: 0"), "field `ics`"),
        (("ics: 1", "ics: one"), "field `ics`"),
        (("kind: package", "kind: rack"), "field `kind`"),
        (("value: 3350", "value: fast"), "field `memory_bandwidth.value`: must be a number, got 'fast'"),
        (("value: 3350", "value: true"), "field `memory_bandwidth.value`: must be a number"),
        (("value: 3350", "value: -3350"), "field `memory_bandwidth.value`"),
        (("value: 3350", "value: .nan"), "field `memory_bandwidth.value`"),
        (("value: 3350", "value: 1.0e+99"), "field `memory_bandwidth.value`"),
        (("value: 3350", "values: 3350"), "field `memory_bandwidth.values`: is not known here"),
        (("power:", "powr:"), "field `power`: Field required"),
        (("  bf16:", "  bf12:"), "field `peaks.bf12"),
        (("status: published", "status: rumour"), "status`"),
        (("ics: 1", "ics: 1\nics: 2"), "line 1: a key is given twice in this mapping"),
        (("ics: 1", "ics: ["), "line "),
        ((H100, "- 1\n"), "must hold one mapping with the fields of a catalog entry"),
        (("ics: 1", "ics: 9999-99-99"), "not readable as YAML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_with_its_name_and_field(change: tuple[str, str], said: str) -> None:
    with pytest.raises(CatalogError) as caught:
        parse_entry(H100.replace(*change, 1), source="mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_accelerator_that_is_not_there_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(CatalogError, match=r"'h300' is not in the catalog: choose one of a100-pcie-40gb, .*xeon-8480plus"):
        find_name("h300")


def outcome(text: str) -> Entry | str:
    """The entry, or the line that refuses it."""
    try:
        return parse_entry(text, source="x.yaml")
    except CatalogError as error:
        return str(error)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_text_is_refused_in_one_line(content: bytes) -> None:
    found = outcome(content.decode(errors="replace"))
    assert isinstance(found, str)
    assert found.startswith("x.yaml: ")
    assert "\n" not in found


@given(st.integers(0, len(H100) - 1), st.characters(codec="utf-8"))
def test_any_changed_character_leaves_an_entry_or_one_line(place: int, char: str) -> None:
    found = outcome(H100[:place] + char + H100[place + 1 :])
    assert isinstance(found, Entry) or "\n" not in found
