"""Ceilings from a profile, by hand-worked numbers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hardware_profiles.profile import Group, Profile, Result, Status
from stack.hardware_profiles.profile.models import Engine
from stack.serving.errors import ServingError
from stack.serving.plan.roofline import measured_rates
from stack.serving.prediction import Load, Prediction, beside, used_share
from stack.serving.prediction import predict as predict_of


def profile(*, bandwidth_gb_s: float | None = 100.0, bfloat16_gflop_s: float | None = 1000.0, status: Status = Status.OK, reason: str = "") -> Profile:
    results = []
    if bandwidth_gb_s is not None:
        results.append(Result(name="memory.read", group=Group.MEMORY, unit="GB/s", work=1.0, median=bandwidth_gb_s, status=status, reason=reason))
        results.append(Result(name="memory.copy", group=Group.MEMORY, unit="GB/s", work=1.0, median=bandwidth_gb_s / 2, status=Status.OK))
    if bfloat16_gflop_s is not None:
        results.append(Result(name="gemm.bfloat16", group=Group.GEMM, dtype="bfloat16", unit="GFLOP/s", work=1.0, median=bfloat16_gflop_s, status=Status.OK))
    engine = Engine(torch=None, blas=None, cpu_capability=None, libraries=(), environment={})
    known = {"seconds": 1.0, "complete": True, "device": "cpu", "device_name": "A CPU", "cores": 2, "last_level_cache_bytes": None, "engine": engine}
    return Profile(started_at=datetime(2026, 11, 24, tzinfo=UTC), results=tuple(results), **known)


def predict(measured: Profile, *, dtype: str, batch: int = 1, context_tokens: int = 1, **load: int) -> Prediction:
    return predict_of(measured_rates(measured, dtype), Load(**load), dtype=dtype, batch=batch, context_tokens=context_tokens)


def model(**changes: int) -> dict[str, int]:
    """A billion weights of 2 bytes, and 100 kB of keys and values a token."""
    return {"weights_bytes": 2_000_000_000, "active_parameters": 1_000_000_000, "kv_bytes_per_token": 100_000, **changes}


def test_one_sequence_is_bound_by_reading_the_weights_once_a_token():
    found = predict(profile(), **model(kv_bytes_per_token=0), dtype="bfloat16")
    assert found.decode_tokens_per_s == pytest.approx(50.0)  # 100 GB/s over 2 GB
    assert found.decode_bound == "memory"
    assert found.prefill_tokens_per_s == pytest.approx(500.0)  # 1000 GFLOP/s over 2 GFLOP
    assert (found.bandwidth_from, found.operations_from) == ("memory.read", "gemm.bfloat16")


def test_keys_and_values_of_the_context_are_read_too():
    found = predict(profile(), **model(), dtype="bfloat16", context_tokens=20_000)
    assert found.bytes_per_step == 4_000_000_000
    assert found.decode_tokens_per_s == pytest.approx(25.0)


def test_a_large_batch_shares_the_weights_until_compute_is_the_limit():
    few = predict(profile(), **model(kv_bytes_per_token=0), dtype="bfloat16", batch=5)
    assert (few.decode_bound, few.decode_tokens_per_s) == ("memory", pytest.approx(250.0))
    many = predict(profile(), **model(kv_bytes_per_token=0), dtype="bfloat16", batch=100)
    assert (many.decode_bound, many.decode_tokens_per_s) == ("compute", pytest.approx(500.0))
    assert many.decode_tokens_per_s_per_sequence == pytest.approx(5.0)


@given(batch=st.integers(1, 512), context=st.integers(1, 100_000))
def test_no_batch_decodes_faster_than_it_prefills_nor_slower_than_alone(batch: int, context: int):
    alone = predict(profile(), **model(), dtype="bfloat16", context_tokens=context)
    found = predict(profile(), **model(), dtype="bfloat16", batch=batch, context_tokens=context)
    assert found.decode_tokens_per_s <= found.prefill_tokens_per_s * (1 + 1e-9)
    assert found.decode_tokens_per_s >= alone.decode_tokens_per_s * (1 - 1e-9)


def test_doubt_about_a_rate_is_doubt_about_the_prediction():
    found = predict(profile(status=Status.NOISY, reason="others used 40%"), **model(), dtype="bfloat16")
    assert found.doubts == ("memory.read is noisy: others used 40%",)


@pytest.mark.parametrize("missing", [{"bandwidth_gb_s": None}, {"bfloat16_gflop_s": None}])
def test_a_profile_without_the_rates_is_refused_with_the_command_that_gives_them(missing: dict[str, None]):
    with pytest.raises(ServingError, match="--only gemm,memory"):
        predict(profile(**missing), **model(), dtype="bfloat16")


def test_a_measurement_stands_beside_its_ceiling():
    prediction = predict(profile(), **model(kv_bytes_per_token=0), dtype="bfloat16", batch=5)
    rows = beside(prediction, output_tokens_per_s=100.0, input_tokens_per_s=50.0)
    assert [(row.what, row.ratio) for row in rows] == [("decode", pytest.approx(0.4)), ("prefill", pytest.approx(0.1))]
    assert used_share(rows) == pytest.approx(0.5)


def test_an_unknown_measurement_has_no_ratio():
    rows = beside(predict(profile(), **model(), dtype="bfloat16"), output_tokens_per_s=10.0)
    assert rows[1].ratio is None
    assert used_share(rows) is None
