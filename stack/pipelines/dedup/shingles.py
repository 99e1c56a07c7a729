"""Texts as sets of hashed shingles, a whole batch at once in numpy.

A text is case-folded and its white space made one space. Shingles are runs of `size` characters or of `size` words; a text
shorter than that is one shingle. Hash: polynomial over code points modulo 2**64, then the finaliser of MurmurHash3.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Offsets = NDArray[np.int64]

BASE = 0x9E3779B97F4A7C15
"""Odd, 2**64 over the golden ratio: multiplication by it is a bijection modulo 2**64."""


def shingle_hashes(texts: Sequence[str], unit: str, size: int) -> tuple[Hashes, Offsets]:
    """Hashes of all texts' shingles, and where each text's begin: offsets [texts + 1]. Every text has at least one."""
    if unit == "characters":
        clean = [" ".join(text.casefold().split()).ljust(size, "\0") for text in texts]
        tokens, counts = _code_points(clean), np.fromiter(map(len, clean), np.int64, len(clean))
    else:
        words = [text.casefold().split() for text in texts]
        words = [found + ["\0"] * (size - len(found)) for found in words]
        tokens = _word_hashes([word for found in words for word in found])
        counts = np.fromiter(map(len, words), np.int64, len(words))
    return _runs(tokens, counts, size)


def _code_points(texts: Sequence[str]) -> Hashes:
    return np.frombuffer("".join(texts).encode("utf-32-le", errors="surrogatepass"), np.uint32).astype(np.uint64) + np.uint64(1)


def _word_hashes(words: Sequence[str]) -> Hashes:
    if not words:
        return np.zeros(0, np.uint64)
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    starts = np.cumsum(lengths) - lengths
    place = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
    return mixed(np.add.reduceat(_code_points(words) * _powers(int(lengths.max()))[place], starts))


def _runs(tokens: Hashes, counts: Offsets, size: int) -> tuple[Hashes, Offsets]:
    """Every run of `size` tokens that lies in one text."""
    ends = np.cumsum(counts)
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts - size + 1)))
    here = np.arange(int(offsets[-1])) + np.repeat(ends - counts - offsets[:-1], counts - size + 1)
    total = np.zeros(len(here), np.uint64)
    for step, power in enumerate(_powers(size)):
        total += tokens[here + step] * power
    return mixed(total), offsets


def _powers(count: int) -> Hashes:
    return np.cumprod(np.concatenate((np.ones(1, np.uint64), np.full(count - 1, BASE, np.uint64))), dtype=np.uint64)


def mixed(values: Hashes) -> Hashes:
    """MurmurHash3's 64-bit finaliser (Appleby, public domain): every input bit reaches every output bit."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
