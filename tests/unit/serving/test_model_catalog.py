from importlib.resources import files

import pytest

from stack.serving.architecture import weight_bytes
from stack.serving.describe import describe_model, facts_table, memory_table
from stack.serving.errors import ServingError
from stack.serving.models import CI_MODEL, GROUPS, CatalogModel, DType, find_model, load_catalog, parse_model

ENTRY = (files("stack.serving") / "catalog" / f"{CI_MODEL}.yaml").read_text()


def test_every_entry_of_the_catalog_is_valid_and_named_after_its_file() -> None:
    names = sorted(entry.name.removesuffix(".yaml") for entry in (files("stack.serving") / "catalog").iterdir() if entry.name.endswith(".yaml"))
    assert sorted(load_catalog()) == names


def test_kv_bytes_of_a_token_are_keys_and_values_over_all_layers() -> None:
    model = find_model(CI_MODEL)
    assert model.architecture.kv_bytes_per_token(DType.BFLOAT16) == 2 * 30 * 3 * 64 * 2
    assert model.architecture.kv_bytes_per_token(DType.FLOAT32) == 2 * model.architecture.kv_bytes_per_token(DType.BFLOAT16)


def test_an_unknown_model_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(ServingError, match=f"'gpt-9' is not in the catalog.*{CI_MODEL}"):
        find_model("gpt-9")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("layers: 30", "layers: 0"), "architecture.layers"),
        (("country: US", "country: Kenya"), "publisher.country"),
        (("sha256: b179", "sha256: xyz"), "source.sha256"),
        (("kind: gguf-dequantize\n  dtype: bfloat16", "kind: gguf-dequantize\n  dtype: int4"), "conversion.dtype"),
        (("  revision_note: The hub", "  note: The hub"), "weights.note"),
        (("attention_heads: 9", "attention_heads: 10"), "architecture"),
        (("  chat: {status", "  temper: {status"), "(document)"),
        (("kind: package", "kind: url"), "source.kind"),
        (("title:", "titel:"), "titel"),
        (("name: smollm2", "name: ../smollm2"), "name"),
    ],
)
def test_a_wrong_entry_names_its_file_and_field_in_one_line(change: tuple[str, str], field: str) -> None:
    with pytest.raises(ServingError) as caught:
        parse_model(ENTRY.replace(*change), source="x.yaml")
    assert str(caught.value).startswith(f"x.yaml: field `{field}`: ")
    assert "\n" not in str(caught.value)


def test_what_is_not_yaml_is_told_in_one_line() -> None:
    with pytest.raises(ServingError, match=r"x\.yaml: line 1: not YAML") as caught:
        parse_model("name: [", source="x.yaml")
    assert "\n" not in str(caught.value)


# Latent attention and Mamba layers have other matrices than the ones counted below.
PLAIN = [
    pytest.param(model, id=model.name)
    for model in load_catalog().values()
    if model.architecture.latent_attention is None and model.architecture.state_bytes_per_sequence is None
]
MODELS = [pytest.param(model, id=model.name) for model in load_catalog().values()]


def test_the_catalog_has_fifteen_models_or_more_most_of_them_from_the_us_and_each_labelled_by_country() -> None:
    countries = [model.publisher.country for model in load_catalog().values()]
    assert len(countries) >= 15
    assert None not in countries
    assert countries.count("US") > len(countries) / 2


@pytest.mark.parametrize("model", MODELS)
def test_every_group_of_facts_says_where_it_comes_from(model: CatalogModel) -> None:
    assert sorted(model.grounds) == sorted(GROUPS)
    assert not [ground for ground in model.grounds.values() if ground.status == "published" and "common knowledge" in ground.source]
    assert model.weights is not None
    assert model.weights.revision is not None or model.weights.revision_note
    assert model.licence.spdx or model.licence.notes


@pytest.mark.parametrize("model", PLAIN)
def test_the_parameters_are_those_that_the_shape_amounts_to(model: CatalogModel) -> None:
    """Embeddings, attention and feed-forward matrices by their shapes; norms, biases and routers are below a thousandth."""
    shape, inner = model.architecture, model.architecture.intermediate_size
    attention = shape.hidden_size * shape.head_dim * (2 * shape.attention_heads + 2 * shape.kv_heads)
    dense = 0 if inner is None else 3 * shape.hidden_size * inner
    embeddings = shape.vocabulary * shape.hidden_size * (1 if shape.tied_embeddings else 2)
    vision = 420_000_000 if shape.family == "gemma3" else 0  # SigLIP, 417 M, and its projector
    counted = shape.layers * (attention + dense) + shape.expert_parameters + embeddings + vision
    assert counted == pytest.approx(model.parameters.total, rel=2e-3)


def test_windows_latent_attention_and_hybrids_change_what_a_sequence_takes() -> None:
    gpt = find_model("gpt-oss-20b").architecture
    assert gpt.kv_bytes_per_sequence(128, DType.BFLOAT16) == 128 * gpt.kv_bytes_per_token(DType.BFLOAT16)
    assert gpt.kv_bytes_per_sequence(131072, DType.BFLOAT16) == (12 * 131072 + 12 * 128) * 2 * 8 * 64 * 2
    assert find_model("deepseek-v3").architecture.kv_bytes_per_token(DType.BFLOAT16) == 61 * (512 + 64) * 2
    nemotron = find_model("nemotron-nano-9b-v2").architecture
    assert nemotron.kv_bytes_per_token(DType.BFLOAT16) == 4 * 2 * 8 * 128 * 2
    assert nemotron.kv_bytes_per_sequence(1, DType.BFLOAT16) > 27 * 128 * 80 * 128 * 4


def test_mxfp4_weights_take_what_the_publisher_says_fits_a_16_and_an_80_gb_device() -> None:
    assert 13e9 < find_model("gpt-oss-20b").weights_bytes < 16e9
    assert 60e9 < find_model("gpt-oss-120b").weights_bytes < 80e9
    assert weight_bytes(32, "mxfp4") == 17


@pytest.mark.parametrize("model", MODELS)
def test_a_model_can_be_shown_whole(model: CatalogModel) -> None:
    assert describe_model(model)["computed"]["weights_bytes"]["bfloat16"] == 2 * model.parameters.total
    assert {status for _, _, status, _ in facts_table(model)} <= {"published", "computed", "unverified"}
    assert all(size.endswith(" GiB") for _, size, _ in memory_table(model))
