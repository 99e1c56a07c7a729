"""A profile as a file, a page, a table, a roofline and evidence."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack.evidence import EvidenceError, EvidenceStore, FigureClass, SigningKey, StoredRecord
from stack.hardware_profiles.profile import Group, Profile, ProfileError, Result, Status, load_profile, words
from stack.hardware_profiles.profile.evidence import draft, recompute
from stack.hardware_profiles.profile.models import Engine, Peak, Point
from stack.hardware_profiles.profile.page import Log, power_text, profile_page
from stack.hardware_profiles.profile.roofline import roofline
from stack.hardware_profiles.profile.timing import figures


def measured(name: str, group: Group, unit: str, work: float | None, samples: tuple[float, ...], **more: object) -> Result:
    found = figures(samples, unit=unit, work=work)
    return Result(
        name=name, group=group, unit=unit, work=work, samples_s=samples, repetitions=len(samples), status=more.pop("status", Status.OK), **vars(found), **more
    )


@pytest.fixture
def profile() -> Profile:
    peak = Peak(value=200.0, kind=FigureClass.PUBLISHED, source="a data sheet")
    sweep = (Point(shape=(256, 256, 256), threads=2, value=80.0, repetitions=3), Point(shape=(512, 512, 512), threads=2, value=100.0, repetitions=3))
    of_product = {"dtype": "float32", "shape": (512, 512, 512), "verified": True, "peak": peak, "share_of_peak": 0.5, "sweep": sweep}
    gemm = measured("gemm.float32", Group.GEMM, "GFLOP/s", 1e9, (0.01, 0.01, 0.0101), **of_product)
    triad = measured("memory.triad", Group.MEMORY, "GB/s", 1e9, (0.05, 0.05), verified=True)
    copy = measured("memory.copy", Group.MEMORY, "GB/s", 1e9, (0.1, 0.1), verified=True)
    read = measured("storage.random_read", Group.STORAGE, "us", None, (40e-6, 41e-6, 900e-6))
    noisy = measured("storage.write", Group.STORAGE, "GB/s", 1e9, (1.0, 3.0), status=Status.NOISY, reason="<b>others</b> used 40%")
    tf32 = Result(name="gemm.tf32", group=Group.GEMM, unit="GFLOP/s", status=Status.NOT_SUPPORTED, reason="a type of GPUs only")
    return Profile(
        started_at=datetime(2026, 11, 24, tzinfo=UTC),
        seconds=12.0,
        complete=True,
        device="cpu",
        device_name="A <CPU>",
        cores=2,
        last_level_cache_bytes=1 << 25,
        engine=Engine(torch="2.13.0", blas="mkl", cpu_capability="AVX2", libraries=(), environment={}),
        results=(gemm, tf32, triad, copy, read, noisy),
    )


@pytest.fixture
def stored(profile: Profile, tmp_path: Path) -> StoredRecord:
    key = SigningKey(Ed25519PrivateKey.generate())
    return EvidenceStore(tmp_path, lambda: key).write(*draft(profile))


def test_figures_are_recomputed_from_the_repetitions(stored: StoredRecord):
    assert recompute(stored) == list(stored.record.figures)
    known = {figure.name: figure for figure in stored.record.figures}
    assert known["gemm.float32.gflop_s"].value == pytest.approx(100.0)
    assert known["gemm.float32.share_of_peak"].value == pytest.approx(0.5)
    assert known["gemm.float32.share_of_peak"].kind is FigureClass.COMPUTED
    assert known["storage.random_read.us"].value == pytest.approx(41.0)
    assert known["storage.random_read.p99.us"].value == pytest.approx(900.0)


def test_what_was_not_measured_is_unknown_with_its_reason_and_doubt_is_noted(stored: StoredRecord):
    known = {figure.name: figure for figure in stored.record.figures}
    assert known["gemm.tf32.gflop_s"].value is None
    assert "GPUs only" in known["gemm.tf32.gflop_s"].note
    assert known["storage.write.gb_s"].note.startswith("noisy")


def test_a_median_that_its_repetitions_do_not_give_is_found(profile: Profile, tmp_path: Path):
    better = profile.results[0].model_copy(update={"median": 999.0})
    record, artifacts = draft(profile.model_copy(update={"results": (better, *profile.results[1:])}))
    key = SigningKey(Ed25519PrivateKey.generate())
    stored = EvidenceStore(tmp_path, lambda: key).write(record, artifacts)
    assert next(figure.value for figure in recompute(stored) if figure.name == "gemm.float32.gflop_s") == pytest.approx(100.0)


@pytest.mark.parametrize("content", ["", "{}", "[1]"])
def test_a_broken_artifact_is_an_evidence_error(stored: StoredRecord, content: str):
    stored.artifact_path("profile.json").write_text(content)
    with pytest.raises(EvidenceError, match=r"profile\.json"):
        recompute(stored)


def test_the_roofline_uses_the_highest_bandwidth_and_each_roof_meets_it_at_its_ridge(profile: Profile):
    found = roofline(profile)
    assert found is not None
    assert found.bandwidth_name == "memory.triad"
    assert found.bandwidth == pytest.approx(20e9)
    (roof,) = found.roofs
    assert roof.ridge == pytest.approx(5.0)
    assert found.attainable(roof.ridge / 2, roof) == pytest.approx(roof.rate / 2)
    assert found.attainable(roof.ridge * 9, roof) == roof.rate
    # 2 n^3 operations over 3 n^2 values of 4 bytes.
    assert [round(intensity, 3) for _, intensity, _ in found.points] == [42.667, 85.333]


def test_without_memory_or_products_there_is_no_roofline_but_a_page(profile: Profile):
    bare = profile.model_copy(update={"results": profile.results[4:]})
    assert roofline(bare) is None
    assert b"Storage" in profile_page(bare)


def test_the_page_loads_nothing_and_shows_text_as_text(profile: Profile):
    page = profile_page(profile).decode()
    assert "A &lt;CPU&gt;" in page
    assert "<b>others" not in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|https?://(?!www\.w3\.org)", page)
    assert "a data sheet" in page
    assert page.count('class="dots small one"') == 1


def test_the_table_tells_verdict_share_and_class(profile: Profile):
    rows = {row[0]: row for row in words.rows(profile)}
    assert rows["gemm.float32"][1:] == ("100 GFLOP/s", "100 GFLOP/s", "cv 0.6%, n=3", "50% of 200 GFLOP/s (published)", "ok")
    assert rows["gemm.tf32"][1:] == ("-", "-", "-", "-", "not supported")
    assert rows["storage.write"][-1] == "NOISY"
    assert rows["storage.random_read"][-1] == "ok, not checked"
    assert words.verdict(profile) == "5 results in 12 s on A <CPU> (cpu), 1 of them not to be quoted"
    assert words.verdict(profile.model_copy(update={"complete": False})).endswith("interrupted: the rest was not measured")


def test_logarithmic_axes_span_whole_powers_of_ten():
    axis = Log.over("x", [0.06, 900.0])
    assert (axis.low, axis.high, axis.at(0.01), axis.at(1000.0)) == (0.01, 1000.0, 0.0, 5.0)
    assert [text for _, text in axis.axis().ticks] == ["0.01", "0.1", "1", "10", "100", "1000"]
    assert [power_text(exponent) for exponent in (5, 6, 10, 14, 15)] == ["100000", "1M", "10G", "100T", "1P"]


def test_a_file_comes_back_as_it_was_written(profile: Profile, tmp_path: Path):
    path = tmp_path / "profile.json"
    path.write_text(profile.model_dump_json())
    assert load_profile(path) == profile


@pytest.mark.parametrize(("content", "word"), [("", "JSON"), ("{}", "field"), (None, "cannot be read")])
def test_a_file_that_is_no_profile_is_named_in_one_line(tmp_path: Path, content: str | None, word: str):
    path = tmp_path / "p.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert str(path) in str(caught.value)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_profile_of_another_schema_is_refused(profile: Profile, tmp_path: Path):
    path = tmp_path / "p.json"
    path.write_text(profile.model_copy(update={"schema_version": "stackproof.profile/v9"}).model_dump_json())
    with pytest.raises(ProfileError, match="schema_version"):
        load_profile(path)
