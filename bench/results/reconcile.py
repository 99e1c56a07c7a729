"""Whether the files of a run agree with one another (checks over stored files; writes nothing).

Counts and rates are counted here once more, from the rows and by other means than `bench.results.metrics`, so that a fault of
the harness itself is found before anybody quotes its figures.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import ValidationError

from bench.errors import BenchError
from bench.results.columns import CANCELLED
from bench.results.decode import OK
from bench.results.files import QUALITY, REQUESTS, SUMMARY, SYSTEM, TOKENS, WORKLOAD
from bench.results.metrics import summarize
from bench.results.samples import Samples, join_samples, read_requests, read_tokens
from bench.results.summary import Summary, Window
from bench.workload import Workload
from stack.runtime.errors import describe_validation

PREFIX = "files do not reconcile: "
"""How the reason of a run begins that this check made invalid."""

MOST_FIELDS = 10
"""So many differing fields of a summary are told one by one."""

STAMPS = ("intended_ns", "dispatched_ns", "sent_ns", "first_content_ns", "last_content_ns", "closed_ns")
"""In the order in which they happen; `first_visible_ns` lies between the two of content."""

ROUNDING = 1e-9
"""Relative difference between two ways of adding the same floats."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Finding:
    """One thing that two files, or two parts of one, say differently."""

    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, found {self.found}"


def reconcile(out: Path) -> list[Finding]:
    """Everything in which the files of the run in `out` disagree; empty when they agree. Never raises on what a file holds."""
    name = REQUESTS
    try:
        requests = read_requests(out / name)
        name = TOKENS
        tokens = read_tokens(out / name)
    except BenchError as error:
        return [Finding(name, "the samples of a run", _one_line(error))]
    found = [*_keys(requests, tokens), *_stamps(requests), *_chunks(requests, tokens)]
    try:
        samples = join_samples(requests, tokens, system=out / SYSTEM, quality=out / QUALITY)
    except BenchError as error:
        return found or [Finding(REQUESTS, "the samples of a run", _one_line(error))]
    return [*found, *_workload(out / WORKLOAD, samples.run.workload), *_summary(out / SUMMARY, samples)]


def with_findings(summary: Summary, findings: list[Finding]) -> Summary:
    """The summary as it may be published: not valid where the files disagree, and saying so."""
    if not findings:
        return summary
    more = f" (and {len(findings) - 1} more; stackproof bench check tells all)" if len(findings) > 1 else ""
    return summary.model_copy(update={"valid": False, "invalid_reasons": (*summary.invalid_reasons, f"{PREFIX}{findings[0]}{more}")})


def _keys(requests: pa.Table, tokens: pa.Table) -> Iterator[Finding]:
    """Each request once, each token with its request, and the tokens of a request one after another, as gaps are taken."""
    known, named = requests["request"].to_numpy(), tokens["request"].to_numpy()
    numbers, counts = np.unique(known, return_counts=True)
    if (counts > 1).any():
        yield Finding(f"{REQUESTS}: request {numbers[counts > 1][0]}", "one row", f"{counts[counts > 1][0]} rows")
    begins = named[np.flatnonzero(np.diff(named, prepend=-1))]
    strangers = np.setdiff1d(begins, known)
    if strangers.size:
        yield Finding(f"{TOKENS}: request {strangers[0]}", f"a row in {REQUESTS}", "none")
    numbers, counts = np.unique(begins, return_counts=True)
    if (counts > 1).any():
        yield Finding(f"{TOKENS}: rows of request {numbers[counts > 1][0]}", "one after another", f"in {counts[counts > 1][0]} places")


def _stamps(requests: pa.Table) -> Iterator[Finding]:
    """Of each request that succeeded: taken, and in the order in which things happen."""
    number, ok = requests["request"].to_numpy(), pc.equal(requests["status"], OK).to_numpy()
    has_content = ok & (requests["chunks"].to_numpy() > 0)
    for name in STAMPS:
        needed = has_content if "content" in name else ok
        missing = needed & requests[name].is_null().to_numpy()
        if missing.any():
            yield Finding(f"{REQUESTS}: {name} of {_requests(number[missing])}", "a stamp", "null")
    stamps = {name: requests[name].to_numpy().astype(np.float64) for name in (*STAMPS, "first_visible_ns")}
    visible = ("first_content_ns", "first_visible_ns", "last_content_ns")
    for earlier, later in [*pairwise(STAMPS), *pairwise(visible), ("sent_ns", "closed_ns")]:
        wrong = ok & (stamps[earlier] > stamps[later])  # false where one of them is null
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            expected = f"{earlier} <= {later}"
            yield Finding(f"{REQUESTS}: stamps of {_requests(number[wrong])}", expected, f"{stamps[earlier][first]:.0f} and {stamps[later][first]:.0f}")


def _chunks(requests: pa.Table, tokens: pa.Table) -> Iterator[Finding]:
    """Per request: as many token rows as `chunks`, none before its first and none after its last."""
    found = tokens.group_by("request", use_threads=False).aggregate([("t_ns", "count"), ("t_ns", "min"), ("t_ns", "max")])
    joined = requests.select(["request", "chunks", "first_content_ns", "last_content_ns"]).join(found, "request", use_threads=False).sort_by("request")
    number = joined["request"].to_numpy()
    declared, counted = joined["chunks"].to_numpy(), pc.fill_null(joined["t_ns_count"], 0).to_numpy()
    wrong = declared != counted
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        yield Finding(f"{TOKENS}: rows of {_requests(number[wrong])}", f"{declared[first]}, as `chunks` says", str(counted[first]))
    for stamp, extreme, what in (("first_content_ns", "t_ns_min", "earliest"), ("last_content_ns", "t_ns_max", "latest")):
        said, seen = (joined[name].to_numpy().astype(np.float64) for name in (stamp, extreme))
        wrong = (counted > 0) & (said != seen)  # a null stamp beside tokens is wrong as well
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            yield Finding(f"{TOKENS}: {what} token of {_requests(number[wrong])}", f"{stamp} {said[first]:.0f}", f"{seen[first]:.0f}")


def _workload(path: Path, measured: Workload) -> Iterator[Finding]:
    """The workload beside the samples is the one in their metadata."""
    try:
        beside = Workload.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        yield Finding(path.name, f"the workload in the metadata of {REQUESTS}", _one_line(error))
        return
    for place, expected, found in _differences(measured.model_dump(mode="json"), beside.model_dump(mode="json")):
        yield Finding(f"{path.name}: {place}", expected, found)


def _summary(path: Path, samples: Samples) -> Iterator[Finding]:
    """The published summary: what the samples give, adding up, and the same when counted in another way."""
    try:
        published = Summary.model_validate_json(path.read_bytes())
    except ValidationError as error:
        yield Finding(path.name, "a summary", describe_validation(error, source="it"))
        return
    except OSError as error:
        yield Finding(path.name, "a summary", _one_line(error))
        return
    yield from chain(_counts(published, samples.requests), _rates(published, samples), _recomputed(published, samples))


def _recomputed(published: Summary, samples: Samples) -> Iterator[Finding]:
    """Field by field against `summarize`, to the last bit; a reason that this very check added is not one of the samples'."""
    reasons = tuple(reason for reason in published.invalid_reasons if not reason.startswith(PREFIX))
    added = len(reasons) < len(published.invalid_reasons)
    said = published.model_copy(update={"valid": not reasons if added else published.valid, "invalid_reasons": reasons})
    again, before = (json.loads(each.model_dump_json()) for each in (summarize(samples), said))
    differences = list(_differences(again, before))
    for place, expected, found in differences[:MOST_FIELDS]:
        yield Finding(f"{SUMMARY}: {place}", f"{expected}, as the samples give", found)
    if len(differences) > MOST_FIELDS:
        yield Finding(SUMMARY, "what the samples give", f"{len(differences) - MOST_FIELDS} further fields that differ")


def _counts(published: Summary, requests: pa.Table) -> Iterator[Finding]:
    """Requests by phase and class, and their sums."""
    said = published.requests
    measured = requests.filter(pc.equal(requests["phase"], "measured"))
    by_class = {each["values"]: each["counts"] for each in pc.value_counts(measured["status"]).to_pylist()}
    failed = {name: count for name, count in by_class.items() if name not in (OK, CANCELLED)}
    pairs: list[tuple[str, Any, Any]] = [
        ("requests.sent", measured.num_rows, said.sent),
        ("requests.sent", said.ok + said.failed + said.cancelled, said.sent),
        ("requests.ok", by_class.get(OK, 0), said.ok),
        ("requests.cancelled", by_class.get(CANCELLED, 0), said.cancelled),
        ("requests.by_class", failed, said.by_class),
        ("requests.failed", sum(said.by_class.values()), said.failed),
        ("requests.warmup", requests.num_rows - measured.num_rows, said.warmup),
    ]
    for place, expected, found in pairs:
        if expected != found:
            yield Finding(f"{SUMMARY}: {place}", f"{expected}, by the rows of {REQUESTS}", str(found))


def _rates(published: Summary, samples: Samples) -> Iterator[Finding]:
    """The window lies inside the run, and each rate times its length is what happened in it."""
    window, requests = published.window, samples.requests
    if window is None:
        return
    begin_s, end_s = pc.min(requests["intended_ns"]).as_py() / 1e9, pc.max(requests["closed_ns"]).as_py() / 1e9
    if not begin_s <= window.start_s <= window.end_s <= end_s:
        yield Finding(f"{SUMMARY}: window", f"inside the run, {begin_s:.6f} to {end_s:.6f} s", f"{window.start_s:.6f} to {window.end_s:.6f} s")
        return
    length_s = window.end_s - window.start_s
    for name, count in _counted(samples, window, published).items():
        rate = getattr(published.rates, name)
        if rate is not None and abs(rate * length_s - count) > ROUNDING * max(1.0, count):
            yield Finding(f"{SUMMARY}: rates.{name} x {length_s:.6f} s", f"{count:.6f}, counted in the window", f"{rate * length_s:.6f}")


def _counted(samples: Samples, window: Window, published: Summary) -> dict[str, float]:
    """What the window holds, one entry per field of `Rates` that is a count over its length."""
    requests, tokens = samples.requests, samples.tokens
    start_ns, end_ns = window.start_s * 1e9, window.end_s * 1e9

    def inside(column: pa.ChunkedArray) -> pa.ChunkedArray:
        at = pc.cast(column, pa.float64(), safe=False)
        return pc.and_(pc.greater(at, start_ns), pc.less_equal(at, end_ns))

    ok = requests.filter(pc.equal(requests["status"], OK))
    worth = pa.table({"request": ok["request"], "worth": pc.divide(pc.cast(ok["completion_tokens"], pa.float64()), pc.cast(ok["chunks"], pa.float64()))})
    chunks = (
        tokens.filter(inside(tokens["t_ns"]))
        .group_by("request", use_threads=False)
        .aggregate([("t_ns", "count")])
        .join(worth, "request", join_type="inner", use_threads=False)
    )
    output = pc.sum(pc.multiply(pc.cast(chunks["t_ns_count"], pa.float64()), chunks["worth"])).as_py()
    prompts = pc.sum(ok.filter(inside(ok["first_content_ns"]))["prompt_tokens"]).as_py()
    arrivals = requests["intended_ns" if published.workload.open_loop else "sent_ns"]
    return {
        "output_tokens_per_s": output or 0.0,
        "input_tokens_per_s": float(prompts or 0),
        "offered_requests_per_s": float(pc.sum(inside(arrivals)).as_py() or 0),
    }


def _differences(expected: Any, found: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    """Where two JSON documents differ, as (path, expected, found)."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in sorted({*expected, *found}):
            yield from _differences(expected.get(name), found.get(name), f"{place}.{name}" if place else name)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, pair in enumerate(zip(expected, found, strict=True)):
            yield from _differences(*pair, f"{place}[{index}]")
    elif expected != found:
        yield place, _short(expected), _short(found)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _requests(numbers: Ints) -> str:
    """As in `request 7` or `3 requests, request 7 first`."""
    return f"request {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} requests, request {numbers[0]} first"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
