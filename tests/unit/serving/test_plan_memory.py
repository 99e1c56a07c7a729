"""What a device holds, by hand-worked numbers and by what is known of published models."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.serving.architecture import Architecture, DType
from stack.serving.errors import ServingError
from stack.serving.models import CI_MODEL, CatalogModel, find_model
from stack.serving.plan import GIB, Parallel, catalog_hardware, make_plan
from stack.serving.plan.memory import Job, arithmetic, expert_parameters, max_context, stage_layers, weights_of_device
from stack.serving.plan.parallel import cuts_heads, spreads

LLAMA = find_model("llama-3.3-70b-instruct")
SMALL = find_model(CI_MODEL)
SHAPE: dict[str, Any] = {"family": "x", "layers": 4, "hidden_size": 64, "attention_heads": 8, "kv_heads": 2, "head_dim": 8, "vocabulary": 100}


def job(model: CatalogModel, **changes: Any) -> Job:
    known: dict[str, Any] = {"device": "cuda", "dtype": DType.BFLOAT16, "quantization": None, "kv_cache_dtype": "auto", "length": 4096}
    return Job(model=model, **{**known, "available_bytes": 72 * GIB, "sequences": 256, "batched_tokens": 2048, **changes})


def toy(total: int, **changes: Any) -> CatalogModel:
    return SMALL.model_copy(
        update={
            "parameters": SMALL.parameters.model_copy(update={"total": total, "active": total}),
            "architecture": Architecture(**{**SHAPE, "context_tokens": 1024, "tied_embeddings": False, **changes}),
        }
    )


def test_on_one_device_all_weights_lie_once() -> None:
    assert weights_of_device(LLAMA, DType.BFLOAT16, None, Parallel()) == LLAMA.parameters.total * 2


def test_a_vocabulary_is_padded_to_64_rows_in_both_tables() -> None:
    assert weights_of_device(toy(200_000), DType.BFLOAT16, None, Parallel()) == (200_000 + 2 * 28 * 64) * 2


def test_tensor_parallelism_repeats_norms_and_the_kv_heads_it_cannot_cut() -> None:
    norms, tables, kv = 4 * 2 * 64, 2 * 128 * 64, 4 * 2 * 64 * 2 * 8
    rest = 200_000 - norms - 2 * 100 * 64 - kv
    by_hand = norms + tables // 4 + kv // 2 + rest // 4  # two KV heads on four devices: each device keeps one, half of them
    assert weights_of_device(toy(200_000), DType.BFLOAT16, None, Parallel(tensor=4)) == pytest.approx(by_hand * 2, abs=4)


def test_the_70b_model_keeps_4096_bytes_a_token_and_layer_and_an_eighth_of_it_on_eight_devices() -> None:
    alone, cut = (arithmetic(job(LLAMA), Parallel(tensor=size), kv_tokens=None) for size in (1, 8))
    assert alone.kv_bytes_per_token == 80 * 2 * 8 * 128 * 2
    assert cut.kv_bytes_per_token == alone.kv_bytes_per_token // 8
    assert arithmetic(job(LLAMA), Parallel(tensor=16), kv_tokens=None).kv_bytes_per_token == cut.kv_bytes_per_token


def test_fp8_halves_keys_and_values() -> None:
    assert 2 * arithmetic(job(LLAMA, kv_cache_dtype="fp8"), Parallel(), kv_tokens=None).kv_bytes_per_token == 327_680


def test_a_sliding_window_bounds_what_a_long_sequence_takes() -> None:
    model = toy(200_000, sliding_window={"tokens": 16, "layers": 3})
    memory = arithmetic(job(model, length=1024, batched_tokens=48, sequences=1), Parallel(), kv_tokens=None)
    a_layer = 2 * 2 * 8 * 2
    assert memory.kv_bytes_per_full_sequence == a_layer * (1024 + 3 * (16 + 48))
    assert memory.kv_bytes_per_token == a_layer * 4


def test_latent_attention_keeps_one_vector_however_it_is_cut() -> None:
    model = toy(200_000, kv_heads=8, latent_attention={"kv_rank": 24, "rope_dim": 8})
    assert {arithmetic(job(model, length=64), Parallel(tensor=size), kv_tokens=None).kv_bytes_per_token for size in (1, 2, 4)} == {4 * 32 * 2}


def test_4_bit_experts_leave_the_rest_as_it_is() -> None:
    model = find_model("gpt-oss-120b")
    experts = expert_parameters(model)
    assert experts == 36 * 128 * 3 * 2880 * 2880
    whole = weights_of_device(model, DType.BFLOAT16, "mxfp4", Parallel())
    assert whole == pytest.approx(experts * 4.25 / 8 + (model.parameters.total - experts) * 2, rel=1e-4)


def test_the_first_dense_layers_of_a_mixture_have_no_experts() -> None:
    assert expert_parameters(find_model("deepseek-v3")) == pytest.approx(58 * 256 * 3 * 7168 * 2048, rel=1e-3)


@given(layers=st.integers(1, 200), pipeline=st.integers(1, 16))
def test_stages_hold_all_layers_and_the_last_never_the_most(layers: int, pipeline: int) -> None:
    stages = stage_layers(layers, pipeline)
    assert (sum(stages), len(stages)) == (layers, pipeline)
    assert max(stages) - min(stages) <= 1
    assert stages[-1] == min(stages)


@given(size=st.sampled_from([1, 2, 4, 8]), pipeline=st.integers(1, 4))
def test_no_split_loses_weights(size: int, pipeline: int) -> None:
    spread = Parallel(tensor=size, pipeline=pipeline)
    assert weights_of_device(LLAMA, DType.BFLOAT16, None, spread) * spread.devices >= LLAMA.parameters.total * 2


@pytest.mark.parametrize("spread", [Parallel(tensor=4), Parallel(tensor=8), Parallel(tensor=8, pipeline=2)])
def test_the_longest_context_fits_and_one_block_more_does_not(spread: Parallel) -> None:
    tight = job(LLAMA, length=131_072, available_bytes=38 * GIB if spread.devices == 4 else 20 * GIB if spread.devices == 8 else 13 * GIB)
    longest = max_context(tight, spread)
    assert 0 < longest < 131_072
    for length, fits in ((longest, True), (longest + 128, False)):
        changed = job(LLAMA, length=length, available_bytes=tight.available_bytes)
        assert (arithmetic(changed, spread, kv_tokens=length).left_bytes >= 0) is fits


def test_nine_heads_are_cut_in_three_and_not_in_two() -> None:
    assert [cuts_heads(SMALL.architecture, size) for size in (1, 2, 3)] == [True, False, True]
    found = spreads(catalog_hardware("l40s:4"), SMALL)
    assert [(each.tensor, each.pipeline, each.replicas) for each in found] == [(1, 1, 4), (1, 2, 2), (1, 4, 1)]


def test_stages_go_over_machines_only_when_one_machine_is_not_enough() -> None:
    found = spreads(catalog_hardware("h100-sxm:8x2"), LLAMA)
    assert [(each.tensor, each.pipeline, each.nodes) for each in found] == [(1, 1, 1), (2, 1, 1), (4, 1, 1), (8, 1, 1), (8, 2, 2)]
    assert make_plan(catalog_hardware("h100-sxm:8x2"), LLAMA).parallel.nodes == 1


REFUSED = [
    ("h100-sxm", "llama-3.3-70b-instruct", {}, r"take 4 x NVIDIA H100 SXM$"),
    ("h100-sxm:2", "llama-3.3-70b-instruct", {}, r"take 4 x NVIDIA H100 SXM or take --quantization fp8$"),
    ("l4", "llama-3.1-8b-instruct", {"max_model_len": 131_072}, r"take 2 x NVIDIA L4 or shorten the context to --max-model-len \d+$"),
    ("h100-sxm:8", "llama-3.1-405b-instruct", {}, r"take 8 x NVIDIA H100 SXM in each of 2 machines or take --quantization fp8$"),
]


@pytest.mark.parametrize(("hardware", "model", "asked", "mends"), REFUSED)
def test_what_cannot_fit_names_the_sum_and_mends_that_work(hardware: str, model: str, asked: dict[str, Any], mends: str) -> None:
    with pytest.raises(ServingError, match=rf"memory is short for {model} .*weights .* = .* GiB of .*{mends}") as caught:
        make_plan(catalog_hardware(hardware), find_model(model), **asked)
    text = str(caught.value)
    if "fp8" in text:
        assert make_plan(catalog_hardware(hardware), find_model(model), quantization="fp8").quantization == "fp8"
    if "--max-model-len" in text:
        longest = int(text.rpartition(" ")[2])
        assert make_plan(catalog_hardware(hardware), find_model(model), max_model_len=longest).max_model_len == longest


WRONG = [
    ("h100-sxm:0", {}, "write NAME, NAME:DEVICES"),
    ("h100", {}, "not in the catalog"),
    ("trainium2", {}, "no vLLM plan for"),
    ("xeon-8480plus", {}, "no vLLM plan for"),
    ("gaudi3", {"quantization": "fp8"}, "--quantization fp8: no fp8"),
    ("a100-sxm-80gb", {"kv_cache_dtype": "fp8"}, "--kv-cache-dtype fp8: no fp8"),
    ("h100-sxm", {"draft": SMALL}, "a draft must speak the same tokens"),
]


@pytest.mark.parametrize(("hardware", "asked", "words"), WRONG)
def test_what_cannot_be_is_refused_in_one_line(hardware: str, asked: dict[str, Any], words: str) -> None:
    from stack.runtime.errors import StackproofError

    with pytest.raises(StackproofError, match=words) as caught:
        make_plan(catalog_hardware(hardware), find_model("llama-3.1-8b-instruct"), **asked)
    assert "\n" not in str(caught.value)
