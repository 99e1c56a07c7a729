"""The model catalog: what each model is, who made it, under which terms, and where its weights come from.

One YAML file per model in `catalog/`. A fact that could not be grounded is null, never a guess.
"""

from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field

from stack.evidence.record import Frozen
from stack.runtime.yaml_input import parse_yaml
from stack.serving.errors import ServingError

CI_MODEL = "smollm2-135m-instruct"
NAME_PATTERN = r"^[a-z0-9][a-z0-9.-]{0,62}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"


class DType(StrEnum):
    """Element types of weights and KV cache, as vLLM spells them."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"

    @property
    def size_bytes(self) -> int:
        return 4 if self is DType.FLOAT32 else 2


class Publisher(Frozen):
    name: str
    country: str | None = Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2 of the seat")
    country_source: str = Field(default="", description="Where the seat is stated")


class Licence(Frozen):
    spdx: str | None = Field(description="SPDX identifier; null for terms that have none")
    url: str | None = Field(default=None, pattern=r"^https://")
    notes: str = Field(default="", description="Limits on use, in a sentence")


class Parameters(Frozen):
    """Counts of weights; they differ only for mixtures of experts."""

    total: int = Field(gt=0)
    active: int = Field(gt=0)


class Architecture(Frozen):
    """What memory arithmetic needs to know."""

    family: str = Field(description="transformers' `model_type`")
    layers: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    attention_heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    context_tokens: int = Field(gt=0)

    def kv_bytes_per_token(self, dtype: DType) -> int:
        """Keys and values of one token over all layers: 2 x layers x kv_heads x head_dim x bytes per element."""
        return 2 * self.layers * self.kv_heads * self.head_dim * dtype.size_bytes


class PackageSource(Frozen):
    """Weights carried by an installed Python distribution."""

    kind: Literal["package"]
    distribution: str
    version: str
    file: str = Field(description="Path inside the installation")
    size_bytes: int = Field(gt=0)
    sha256: str = Field(pattern=SHA256_PATTERN)
    notes: str = ""


class Conversion(Frozen):
    """How the source becomes safetensors."""

    kind: Literal["gguf-dequantize"]
    dtype: DType
    notes: str = ""


class CatalogModel(Frozen):
    """One catalog entry. `name` is also the name under which the engine serves it."""

    name: str = Field(pattern=NAME_PATTERN)
    title: str
    publisher: Publisher
    licence: Licence
    languages: tuple[str, ...] = Field(default=(), description="ISO 639-1 codes the publisher states; empty when unknown")
    parameters: Parameters
    architecture: Architecture
    source: PackageSource
    conversion: Conversion


@cache
def load_catalog() -> dict[str, CatalogModel]:
    """All models that ship with the project, by name."""
    folder = files("stack.serving") / "catalog"
    entries = (parse_model(entry.read_text(), source=entry.name) for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {model.name: model for model in sorted(entries, key=lambda model: model.name)}


def find_model(name: str) -> CatalogModel:
    """ServingError, listing the names there are, when the catalog has no such model."""
    try:
        return load_catalog()[name]
    except KeyError:
        raise ServingError(f"model {name!r} is not in the catalog: choose one of {', '.join(load_catalog())}") from None


def parse_model(text: str, *, source: str) -> CatalogModel:
    """One entry from YAML; ServingError naming `source` and the field."""
    return parse_yaml(text, CatalogModel, source=source, error=ServingError)
