"""Checks of the model files on this machine.

They read the files anew and do not rely on what the serving layer checked when it pulled them.
"""

import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stack.security.context import AuditContext
from stack.security.errors import CannotCheckError
from stack.security.report import Finding, failed, passed, summarize
from stack.serving import ServingError
from stack.serving.weights import verify_model

CODE_SUFFIXES = frozenset({".py", ".pyc", ".so", ".sh", ".exe", ".dll", ".dylib"})
# Sizes of the element types of the safetensors format, in bytes.
ELEMENT_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}
HEADER_LIMIT_BYTES = 100 << 20
# A pickle of protocol 2 or later begins with the opcode PROTO and the protocol's number.
PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


def files_as_pulled(context: AuditContext) -> Finding:
    """Every file has the hash the manifest gives, and there is no other."""
    _files(context)
    try:
        manifest = verify_model(context.catalog)
    except ServingError as error:
        return failed(str(error))
    return passed(f"{len(manifest.files)} files have the hashes of the manifest; source {manifest.source_sha256[:16]}")


def no_pickle(context: AuditContext) -> Finding:
    """By content, whatever a file is called: loading a pickle runs what its author wrote."""
    found = _files(context)
    faults = [f"{path.name} is {what}" for path in found if (what := _pickle(path))]
    if not faults and not any(path.suffix == ".safetensors" for path in found):
        return failed("there are no safetensors files")
    return summarize(faults, good=f"weights are safetensors; none of {len(found)} files is a pickle")


def no_code(context: AuditContext) -> Finding:
    """Neither files of code nor a configuration that names code to load (`auto_map`)."""
    found = _files(context)
    faults = [f"{path.name} is code" for path in found if path.suffix in CODE_SUFFIXES]
    for path in (each for each in found if each.suffix == ".json"):
        try:
            keys = set(_keys(json.loads(path.read_bytes())))
        except (ValueError, RecursionError) as error:
            faults.append(f"{path.name} is not JSON ({error})")
            continue
        faults += [f"{path.name} has {key}" for key in ("auto_map", "custom_pipelines") if key in keys]
    return summarize(faults, good=f"no code among {len(found)} files and none named in their configuration")


def headers_sane(context: AuditContext) -> Finding:
    """Each tensor's span is its shape times its type's size, spans tile the file, and all weights add up to the catalog's count."""
    total, faults = 0, []
    for path in (each for each in _files(context) if each.suffix == ".safetensors"):
        try:
            total += _count_weights(path)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            faults.append(f"{path.name}: {error}")
    expected = context.catalog.parameters.total
    if not faults and total != expected:
        faults = [f"{total} weights in the files, {expected} in the catalog"]
    return summarize(faults, good=f"safetensors headers are sound and hold the catalog's {expected} weights")


def licence_known(context: AuditContext) -> Finding:
    model = context.catalog
    licence = model.licence.spdx or model.licence.url
    faults = [] if licence else ["the catalog states no licence"]
    faults += [] if model.publisher.country else ["the catalog does not know the publisher's country"]
    pinned = f"source pinned by SHA-256 {model.source.sha256[:16]}" if model.source else "the catalog pins no source"
    return summarize(faults, good=f"{licence}, published by {model.publisher.name}; {pinned}")


def _files(context: AuditContext) -> list[Path]:
    found = sorted(path for path in context.model_dir.rglob("*") if path.is_symlink() or not path.is_dir())
    if not found:
        raise CannotCheckError(f"model {context.catalog.name} is not on this machine: run `stackproof models pull {context.catalog.name}`")
    return found


def _pickle(path: Path) -> str | None:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start in PICKLE_STARTS:
        return "a pickle"
    if start == b"PK" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = next((name for name in archive.namelist() if name.endswith((".pkl", ".pickle"))), None)
        return f"an archive with {inside} in it" if inside else None
    return None


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(inner)


def _count_weights(path: Path) -> int:
    """Of one safetensors file; ValueError and its like where the header cannot be so."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(HEADER_LIMIT_BYTES, size - 8):
            raise ValueError(f"header length {length} in a file of {size} bytes")
        tensors = {name: entry for name, entry in json.loads(stream.read(length)).items() if name != "__metadata__"}
    end = weights = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
        start, stop = tensor["data_offsets"]
        count = math.prod(tensor["shape"])
        if start != end or stop - start != count * ELEMENT_BYTES[tensor["dtype"]]:
            raise ValueError(f"tensor {name} does not fill its span")
        end, weights = stop, weights + count
    if end != size - 8 - length:
        raise ValueError("tensors do not fill the file")
    return weights
