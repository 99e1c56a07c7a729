"""Safetensors headers read by a parser of our own, before any library maps the file.

The format (github.com/huggingface/safetensors, "Format"): 8 bytes little-endian length, that many bytes of JSON, then the data. Stricter
than the reference: no repeated names, no unknown fields, spans that tile the data exactly, sizes that follow from dtype and shape.
"""

import json
import math
from pathlib import Path
from typing import Any

from stack.evidence.record import Frozen

HEADER_LIMIT_BYTES = 100_000_000
"""The reference implementation's own limit."""
MAX_DIMENSIONS = 32
MAX_ELEMENTS = 1 << 62
DTYPE_BITS: dict[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


class Tensor(Frozen):
    """One tensor of a file; `start` and `end` are bytes counted from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


def read_tensors(path: Path) -> tuple[Tensor, ...]:
    """The tensors of a file in the order of their data; ValueError says what is wrong with the header."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(HEADER_LIMIT_BYTES, size - 8):
            raise ValueError(f"header length {length} in a file of {size} bytes")
        return parse_header(stream.read(length), data_bytes=size - 8 - length)


def parse_header(header: bytes, *, data_bytes: int) -> tuple[Tensor, ...]:
    """The tensors that a header describes, in order; ValueError unless they fill `data_bytes` without a gap or an overlap."""
    if not header.startswith(b"{"):
        raise ValueError("header does not begin with {")
    try:
        entries = json.loads(header, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError("header is nested too deeply") from None
    _check_metadata(entries.pop("__metadata__", {}))
    tensors = sorted((_tensor(name, entry) for name, entry in entries.items()), key=lambda tensor: (tensor.start, tensor.end))
    end = 0
    for tensor in tensors:
        if tensor.start != end:
            raise ValueError(f"tensor {tensor.name}: begins at {tensor.start}, the one before ends at {end}")
        end = tensor.end
    if end != data_bytes:
        raise ValueError(f"tensors end at {end}, the file's data at {data_bytes}")
    return tuple(tensors)


def _tensor(name: str, entry: Any) -> Tensor:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name}: must have dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise ValueError(f"tensor {name}: unknown dtype")
    if not _counts(shape) or len(shape) > MAX_DIMENSIONS or math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"tensor {name}: impossible shape")
    if not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name}: data_offsets are not two positions")
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    if bits % 8 or offsets[1] - offsets[0] != bits // 8:
        raise ValueError(f"tensor {name}: {offsets[1] - offsets[0]} bytes for {dtype} of shape {shape}")
    return Tensor(name=name, dtype=dtype, shape=tuple(shape), start=offsets[0], end=offsets[1])


def _counts(value: Any) -> bool:
    """Whether it is a list of whole numbers from 0 on (a JSON `true` is not one)."""
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("__metadata__ must map text to text")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found
