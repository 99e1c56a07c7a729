"""One decision as another tool's file tells it (model)."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Told:
    """`fault`: why it is no decision. `where`: how a message names it. `score`: the prediction's, None where the file has none."""

    where: str
    record_id: str = ""
    text_sha256: str | None = None
    reviewer: str = ""
    label: str | None = None
    note: str = ""
    at: datetime | None = None
    score: float | None = None
    fault: str | None = None


def moment(value: object) -> datetime | None:
    """An ISO 8601 time, taken as UTC where it names no zone; None when it is not one."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
