"""A small dataset folder, as a run writes it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LABELS = ("positive", "neutral", "negative")
ROWS = (
    # record_id, text, language, gold, keywords, llm, label, probability
    ("a1", "The service was excellent.", "en", "positive", "positive", "positive", "positive", 0.99),
    ("b2", "الخدمة جيدة لكن الانتظار طويل", "ar", "neutral", "positive", "negative", "negative", 0.41),
    ("c3", "Pelayanannya biasa saja.", "id", "neutral", None, "neutral", "neutral", 0.60),
    ("d4", "Not good, <b>not</b> bad.", "en", None, "negative", "neutral", "neutral", 0.41),
    ("e5", "", "", None, None, None, None, None),
)


def write_dataset(out: Path, rows: tuple[tuple[Any, ...], ...] = ROWS, *, named: bool = True) -> Path:
    names = ("record_id", "text", "language", "gold", "keywords_label", "llm_label", "label", "probability")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    columns["source"] = ["messages"] * len(rows)
    strings = {name: pa.array(values, pa.float64() if name == "probability" else pa.string()) for name, values in columns.items()}
    table = pa.table(strings)
    if named:
        table = table.replace_schema_metadata({"labels": "\n".join(LABELS), "labelers": "keywords\nllm"})
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, out / "labels.parquet")
    return out
