"""What a maker's tool or library answered, made into values (logic).

Makers write "N/A", leave out fields, or change a type from release to release: every reader here gives the
value or None, and raises nothing.
"""

import re
from collections.abc import Mapping
from typing import Any

MIB = 1 << 20
# Binary units throughout: the makers' tools say MB and mean MiB.
SIZES = {"B": 1, "KB": 1 << 10, "MB": MIB, "GB": 1 << 30, "KIB": 1 << 10, "MIB": MIB, "GIB": 1 << 30}
UNKNOWN = frozenset(("", "n/a", "na", "none", "unknown", "null", "not supported", "[n/a]"))
LONGEST = 200
BUS = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


def part(value: object, *keys: str) -> Any:
    """The value under a path of keys in nested mappings; None where it breaks off."""
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def text(value: object) -> str | None:
    """One printable line."""
    if not isinstance(value, str):
        return None
    found = "".join(char for char in value if char.isprintable()).strip()
    return found[:LONGEST] if found.lower() not in UNKNOWN else None


def number(value: object) -> float | None:
    """Of `226`, `"226"`, `"226 W"` or `{"value": 226, "unit": "W"}`; finite and not negative, or None."""
    if isinstance(value, Mapping):
        return number(value.get("value"))
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        found = float(value) if abs(value) < 1 << 63 else -1.0
    else:
        match = re.match(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(?:\s|$|[A-Za-z])", value.strip(), re.ASCII) if isinstance(value, str) else None
        found = float(match[1]) if match else -1.0
    return found if 0 <= found < float("inf") else None


def whole(value: object) -> int | None:
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def size(value: object, *, unit: str) -> int | None:
    """Bytes of `131072 MiB` or `{"value": 196592, "unit": "MB"}`; `unit` where the answer names none. Never 0."""
    if isinstance(value, Mapping):
        unit = str(value.get("unit") or unit)
    elif isinstance(value, str) and (match := re.search(r"([A-Za-z]+)\s*$", value)):
        unit = match[1]
    amount, scale = number(value), SIZES.get(unit.upper())
    return int(amount * scale) or None if amount is not None and scale is not None else None


def bus_address(value: object) -> str | None:
    """As sysfs writes it: a domain of four digits, small letters."""
    match = BUS.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    return f"{(match[1] or '0').zfill(4)[-4:]}:{match[2]}:{match[3]}.{match[4]}" if match else None
