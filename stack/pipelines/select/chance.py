"""Chance that depends on a record and a seed alone (pure)."""

import hashlib


def draw(seed: int, name: str) -> int:
    """A whole number in 0..2**63 - 1: the first bits of BLAKE2b of seed and name."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()) >> 1
