"""One seed, many independent random streams: each use has a name, so that adding one never shifts another (logic)."""

import hashlib
import random


def derive(seed: int, name: str, index: int = 0) -> int:
    """64 bits for draw `index` of the stream `name`: SHA-256 of all three, hence the same on every machine and in every worker."""
    digest = hashlib.sha256(f"stackproof:{seed}:{name}:{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def stream(seed: int, name: str) -> random.Random:
    """A generator of its own for one use."""
    return random.Random(derive(seed, name))  # noqa: S311  # reproducible by intent, guards nothing
