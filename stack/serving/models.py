"""The model catalog: what each model is, who made it, under which terms, and where its weights come from.

One YAML file per model in `catalog/`. A fact that could not be grounded is null, never a guess.
"""

from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field, model_validator

from stack.evidence.record import Frozen
from stack.runtime.yaml_input import parse_yaml
from stack.serving.architecture import Architecture, DType, weight_bytes
from stack.serving.errors import ServingError

__all__ = ["CI_MODEL", "Architecture", "CatalogModel", "DType", "find_model", "load_catalog", "parse_model"]

CI_MODEL = "smollm2-135m-instruct"
NAME_PATTERN = r"^[a-z0-9][a-z0-9.-]{0,62}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
GROUPS = ("publisher", "licence", "languages", "parameters", "architecture", "context", "weights", "chat")
"""Groups of facts; each needs its ground."""


class Ground(Frozen):
    """Where a group of facts comes from.

    `published`: all of it was read in the public documents that are named. `computed`: it follows from other facts as told.
    `unverified`: at least a part, named, was not read in a document.
    """

    status: Literal["published", "computed", "unverified"]
    source: str = Field(min_length=1)


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

    @property
    def in_words(self) -> str:
        """Millions below one billion, else billions, with the active ones where they are fewer."""
        total = f"{self.total / 1e6:.0f} M" if self.total < 1e9 else f"{self.total / 1e9:.1f} B"
        return total if self.active == self.total else f"{total} ({self.active / 1e9:.1f} B active)"


class Weights(Frozen):
    """The publisher's own weights: where they are and in which form."""

    repository: str | None = Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$", description="ORGANISATION/NAME on the Hugging Face hub")
    revision: str | None = Field(pattern=r"^[0-9a-f]{40}$", description="Commit that the facts and checksums are of")
    revision_note: str = Field(default="", description="Why the revision is not known")
    gated: bool | None = Field(default=None, description="Whether terms must be accepted at the hub first; None: not known")
    dtype: DType = Field(description="Element type of what is not quantized")
    quantization: Literal["mxfp4", "fp8"] | None = Field(default=None, description="How the published weights are quantized, as vLLM spells it; None: not")
    sha256: dict[str, str] = Field(default_factory=dict, description="SHA-256 of files by name, where known")

    @model_validator(mode="after")
    def _unknown_revision_has_its_reason(self) -> "Weights":
        if self.revision is None and not self.revision_note:
            raise ValueError("revision: null needs revision_note, which says why")
        return self


class Chat(Frozen):
    """What the engine needs to hold a conversation; parsers under vLLM's own names, None where the model needs none or none is known."""

    template: Literal["with the weights", "none"] | None = Field(description="Where the chat template comes from; null when not known")
    tool_parser: str | None = None
    reasoning_parser: str | None = None


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
    """How the source becomes safetensors; `none`: they are used as published."""

    kind: Literal["gguf-dequantize", "none"]
    dtype: DType = Field(description="Element type of what the engine reads, quantized parts apart")
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
    weights: Weights | None = None
    chat: Chat | None = None
    grounds: dict[str, Ground] = Field(default_factory=dict, description=f"Where each group of facts comes from: {', '.join(GROUPS)}")
    source: PackageSource | None = Field(default=None, description="Weights that an installed package carries; null: `models pull` must be told from where")
    conversion: Conversion

    @property
    def weights_bytes(self) -> int:
        """Of the weights as they are published, computed: mxfp4 holds the routed experts only, other quantizations are taken to hold all weights."""
        quantization = self.weights.quantization if self.weights else None
        packed = self.architecture.expert_parameters if quantization == "mxfp4" else self.parameters.total if quantization else 0
        return weight_bytes(packed, quantization or "fp8") + (self.parameters.total - packed) * self.conversion.dtype.size_bytes

    @model_validator(mode="after")
    def _grounds_name_groups(self) -> "CatalogModel":
        if unknown := sorted(set(self.grounds) - set(GROUPS)):
            raise ValueError(f"grounds: {unknown[0]} is not one of {', '.join(GROUPS)}")
        return self


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
