"""The closed schemas of request bodies, one for each `BodyKind` (pure).

In come a body's bytes; out goes a frozen struct that knows its prompts and holds itself to the policy's caps, or a `msgspec.ValidationError`.
Nothing here knows of tenants, sockets or the engine.
"""

from msgspec.json import Decoder

from stack.serving.bodies.base import Asked
from stack.serving.bodies.chat import ChatBody
from stack.serving.bodies.completions import CompletionBody
from stack.serving.bodies.embeddings import EmbeddingBody
from stack.serving.policy import BodyKind

BODIES: dict[BodyKind, type[Asked]] = {"chat": ChatBody, "completions": CompletionBody, "embeddings": EmbeddingBody}

DECODERS: dict[BodyKind, Decoder[Asked]] = {kind: Decoder(body) for kind, body in BODIES.items()}

__all__ = ["BODIES", "DECODERS", "Asked"]
