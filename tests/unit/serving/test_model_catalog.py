from importlib.resources import files

import pytest

from stack.serving.errors import ServingError
from stack.serving.models import CI_MODEL, DType, find_model, load_catalog, parse_model

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
        (("dtype: bfloat16", "dtype: int4"), "conversion.dtype"),
        (("kind: package", "kind: url"), "source.kind"),
        (("title:", "titel:"), "title"),
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
