"""The closed schemas of request bodies, one for each `BodyKind` (pure).

In come a body's bytes and the policy's caps; out goes a frozen model that knows its prompts, or a ValidationError.
Nothing here knows of tenants, sockets or the engine.
"""

from stack.serving.bodies.base import Asked
from stack.serving.bodies.chat import ChatBody
from stack.serving.bodies.completions import CompletionBody
from stack.serving.bodies.embeddings import EmbeddingBody
from stack.serving.policy import BodyKind

BODIES: dict[BodyKind, type[Asked]] = {"chat": ChatBody, "completions": CompletionBody, "embeddings": EmbeddingBody}

__all__ = ["BODIES", "Asked"]
