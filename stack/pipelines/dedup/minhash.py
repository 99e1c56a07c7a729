"""MinHash signatures of one byte per permutation, and the bands in which near-duplicates meet.

Broder (1997): the smallest hash of two sets is the same with the probability of their Jaccard similarity J. Li and Koenig (2010): the
lowest b bits of it are enough; with b = 8 two signatures agree in a place with probability J + (1 - J) / 256.
"""

import importlib.util
import itertools

import numpy as np
from numpy.typing import NDArray

from stack.pipelines.dedup.shingles import Hashes, Offsets
from stack.pipelines.errors import PipelineError

Signatures = NDArray[np.uint8]

CHANCE = 1 / 256
MOST_ROWS = 8
"""A band's key is one 64-bit number: eight bytes of the signature."""
MISSED_AT_THRESHOLD = 0.02
TEXTS_AT_ONCE = 128
"""rensa hands its numbers over as Python objects: those of so many texts are made and used while they are in the processor's cache."""
BLOCK = 1 << 21
"""Hashes worked on at a time by the numpy engine: 8 MiB per array."""


def signatures(hashes: Hashes, offsets: Offsets, permutations: int, *, engine: str, seed: int) -> Signatures:
    """[texts, permutations]. The engines give different bytes for the same text; both are deterministic."""
    if len(offsets) == 1:
        return np.zeros((0, permutations), np.uint8)
    smallest = _rensa(hashes, offsets, permutations, seed) if engine == "rensa" else _numpy(hashes, offsets, permutations, seed)
    return ((smallest * np.uint32(0x9E3779B1)) >> np.uint32(24)).astype(np.uint8)


def _rensa(hashes: Hashes, offsets: Offsets, permutations: int, seed: int) -> NDArray[np.uint32]:
    if importlib.util.find_spec("rensa") is None:
        raise PipelineError("field `engine`: rensa is not installed; install stackproof[stack] or set engine: numpy")
    import rensa

    found = np.empty((len(offsets) - 1, permutations), np.uint32)
    for first in range(0, len(found), TEXTS_AT_ONCE):
        part = offsets[first : first + TEXTS_AT_ONCE + 1]
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes[part[0] : part[-1]], part - part[0], permutations, seed)
        found[first : first + TEXTS_AT_ONCE] = matrix.to_rows()
    return found


def _numpy(hashes: Hashes, offsets: Offsets, permutations: int, seed: int) -> NDArray[np.uint32]:
    """Multiply and add modulo 2**32 on hashes that are mixed already, one permutation at a time."""
    random = np.random.Generator(np.random.PCG64(seed))
    factors = random.integers(0, 1 << 32, permutations, np.uint32) | np.uint32(1)
    terms = random.integers(0, 1 << 32, permutations, np.uint32)
    short = (hashes >> np.uint64(32)).astype(np.uint32)
    found = np.empty((len(offsets) - 1, permutations), np.uint32)
    for first, last in _blocks(offsets):
        part, starts = short[offsets[first] : offsets[last]], offsets[first:last] - offsets[first]
        for at in range(permutations):
            found[first:last, at] = np.minimum.reduceat(part * factors[at] + terms[at], starts)
    return found


def _blocks(offsets: Offsets) -> list[tuple[int, int]]:
    edges = np.searchsorted(offsets, np.arange(0, int(offsets[-1]) + BLOCK, BLOCK))
    edges = np.unique(np.clip(np.append(edges, len(offsets) - 1), 0, len(offsets) - 1))
    return [(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def band_rows(threshold: float, permutations: int) -> int:
    """Rows per band: the most, up to 8, for which a pair at the threshold is missed with at most 2 %.

    A pair of similarity s meets in at least one of b = permutations // r bands of r rows with probability 1 - (1 - s**r)**b. More rows
    mean fewer pairs to check. 0.6 and 128: 4 rows, 32 bands, 1.2 % missed at the threshold, 0.02 % at 0.7.
    """
    fitting = [r for r in range(1, min(MOST_ROWS, permutations) + 1) if (1 - threshold**r) ** (permutations // r) <= MISSED_AT_THRESHOLD]
    return max(fitting, default=1)


def band_key(matrix: Signatures, band: int, rows: int) -> NDArray[np.uint64]:
    """One number per record: equal where the band's rows are equal."""
    padded = np.zeros((len(matrix), MOST_ROWS), np.uint8)
    padded[:, :rows] = matrix[:, band * rows : (band + 1) * rows]
    return padded.view(np.uint64).ravel()


def similarity(left: Signatures, right: Signatures) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of each pair of rows; its standard error is sqrt(J (1 - J) / permutations), 0.04 at 0.6 and 128."""
    agreed = np.count_nonzero(left == right, axis=1) / left.shape[1]
    return np.asarray(np.maximum(0.0, (agreed - CHANCE) / (1 - CHANCE)), np.float64)
