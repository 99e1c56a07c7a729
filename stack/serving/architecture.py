"""What memory arithmetic needs to know of a model: its shape, and the bytes its weights, keys, values and states take (pure)."""

from enum import StrEnum

from pydantic import Field, model_validator

from stack.evidence.record import Frozen

WEIGHT_BITS: dict[str, float] = {"float32": 32, "bfloat16": 16, "fp8": 8, "mxfp4": 4.25, "int4-g128": 4.125}
"""Bits a weight takes. mxfp4: 4 bits and one 8-bit scale for 32 weights (OCP Microscaling Formats 1.0, table 1). int4-g128: 4 bits
and one 16-bit scale for 128 weights, without zero points."""


class DType(StrEnum):
    """Element types of weights and KV cache, as vLLM spells them."""

    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"

    @property
    def size_bytes(self) -> int:
        return 4 if self is DType.FLOAT32 else 2


class SlidingWindow(Frozen):
    """Layers whose keys and values reach back only so far."""

    tokens: int = Field(gt=0, description="How far back they reach")
    layers: int = Field(gt=0, description="How many of the attention layers do")


class LatentAttention(Frozen):
    """Multi-head latent attention: one compressed vector and one rotary key a token and layer instead of keys and values."""

    kv_rank: int = Field(gt=0, description="transformers' `kv_lora_rank`")
    rope_dim: int = Field(gt=0, description="transformers' `qk_rope_head_dim`")


class Experts(Frozen):
    """A mixture of experts in the feed-forward layers."""

    total: int = Field(gt=0, description="Routed experts of a layer")
    active: int = Field(gt=0, description="Routed experts a token goes through")
    shared: int = Field(default=0, ge=0, description="Experts every token goes through")
    intermediate_size: int | None = Field(default=None, gt=0, description="Inner width of one expert")


class Architecture(Frozen):
    """Counts of one model. Optional fields are None where the model has no such part, or where the entry's grounds say it is not known."""

    family: str = Field(description="transformers' `model_type`")
    layers: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    attention_heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    vocabulary: int = Field(gt=0)
    context_tokens: int = Field(gt=0)
    intermediate_size: int | None = Field(default=None, gt=0, description="Inner width of a dense feed-forward layer")
    tied_embeddings: bool | None = Field(default=None, description="Whether input and output embeddings are one table; None: not known")
    attention_layers: int | None = Field(default=None, gt=0, description="Layers that keep keys and values; None: all of them")
    sliding_window: SlidingWindow | None = None
    latent_attention: LatentAttention | None = None
    experts: Experts | None = None
    state_bytes_per_sequence: int | None = Field(default=None, gt=0, description="Recurrent state of a hybrid model, of any length of text")

    @model_validator(mode="after")
    def _parts_fit(self) -> "Architecture":
        caching = self.caching_layers
        if caching > self.layers:
            raise ValueError(f"attention_layers: {caching} of {self.layers} layers")
        if self.sliding_window is not None and self.sliding_window.layers > caching:
            raise ValueError(f"sliding_window.layers: {self.sliding_window.layers} of {caching} attention layers")
        if self.experts is not None and self.experts.active > self.experts.total:
            raise ValueError(f"experts.active: {self.experts.active} of {self.experts.total} experts")
        if self.attention_heads % self.kv_heads:
            raise ValueError(f"kv_heads: {self.kv_heads} do not divide {self.attention_heads} attention heads")
        return self

    @property
    def caching_layers(self) -> int:
        """Layers that keep keys and values."""
        return self.attention_layers or self.layers

    @property
    def expert_parameters(self) -> int:
        """Weights of all routed experts, three matrices each (gate, up, down); 0 without experts, or where their width is not known."""
        experts = self.experts
        if experts is None or experts.intermediate_size is None:
            return 0
        return self.layers * experts.total * 3 * self.hidden_size * experts.intermediate_size

    @property
    def kv_elements_per_layer(self) -> int:
        """Elements one token leaves in one layer: keys and values, 2 x kv_heads x head_dim; with latent attention kv_rank + rope_dim."""
        latent = self.latent_attention
        return 2 * self.kv_heads * self.head_dim if latent is None else latent.kv_rank + latent.rope_dim

    def kv_bytes_per_token(self, dtype: DType) -> int:
        """What one token takes while every layer reaches back to it: layers that cache x elements a layer x bytes per element."""
        return self.caching_layers * self.kv_elements_per_layer * dtype.size_bytes

    def kv_bytes_per_sequence(self, tokens: int, dtype: DType) -> int:
        """Of one sequence: windowed layers hold their last `tokens` only, hybrid models add their recurrent state."""
        windowed = self.sliding_window.layers if self.sliding_window else 0
        held = (self.caching_layers - windowed) * tokens + (windowed * min(tokens, self.sliding_window.tokens) if self.sliding_window else 0)
        return held * self.kv_elements_per_layer * dtype.size_bytes + (self.state_bytes_per_sequence or 0)


def weight_bytes(parameters: int, dtype: str) -> int:
    """Memory of all weights held in one type: a floor for quantized files, which keep norms and often embeddings wider. Unknown types: KeyError."""
    return int(parameters * WEIGHT_BITS[dtype] / 8)
