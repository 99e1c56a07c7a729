"""Which catalog entry an inventory's accelerator is (pure)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from stack.hardware_profiles.catalog.files import load_catalog
from stack.hardware_profiles.catalog.models import Entry
from stack.hardware_profiles.inventory import Accelerator

GIGA = Decimal(10**9)
# Libraries report less than the label (firmware and ECC keep some), or more when the label's GB are GiB (1.074 times).
LEAST_OF_LABEL = Decimal("0.90")
MOST_OF_LABEL = Decimal("1.08")


@dataclass(frozen=True)
class Match:
    """The entry, or None with the reason."""

    entry: Entry | None
    reason: str = ""


def find_entry(accelerator: Accelerator) -> Entry | None:
    """The catalog's entry for this accelerator; None when it is not there or its name leaves the variant open (see `match`)."""
    return match(accelerator, load_catalog().values()).entry


def match(accelerator: Accelerator, entries: Iterable[Entry]) -> Match:
    """By the exact name, checked against the memory it reports. Variants of one family (SXM, PCIe, NVL) are never guessed."""
    entries = tuple(entries)
    if accelerator.name is None:
        return Match(None, "its name could not be read")
    name = _plain(accelerator.name)
    named = [entry for entry in entries if name in map(_plain, entry.names)]
    if len(named) != 1:
        return Match(None, _unnamed(accelerator.name, named or _relatives(name, entries)))
    return _of_that_memory(named[0], accelerator)


def _of_that_memory(entry: Entry, accelerator: Accelerator) -> Match:
    low, high = entry.memory.lowest, entry.memory.highest
    if accelerator.memory_bytes is None or low is None or high is None:
        return Match(entry)
    reported = accelerator.memory_bytes / GIGA
    if LEAST_OF_LABEL * low / entry.devices <= reported <= MOST_OF_LABEL * high / entry.devices:
        return Match(entry)
    each = f" in {entry.devices} devices" if entry.devices > 1 else ""
    return Match(None, f"it reports {reported:.1f} GB of memory where {entry.title} has {entry.memory.value} GB{each}: a partition of it, or another variant")


def _unnamed(name: str, near: list[Entry]) -> str:
    if not near:
        return f"the catalog has no accelerator that reports itself as {name!r}"
    return f"variants are not guessed: the catalog has {', '.join(entry.title for entry in near)}, and none of them alone reports itself as {name!r}"


def _relatives(name: str, entries: Iterable[Entry]) -> list[Entry]:
    """Entries whose family stands in `name` as a word of its own."""
    words = set(re.split(r"[^a-z0-9]+", name))
    return [entry for entry in entries if entry.family in words]


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
