"""Four records for the review page, in the order of need."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TEXTS = (("first", "en"), ("الثاني", "ar"), ("<b>third</b>", "en"), ("fourth", "en"))


def write_rows(out: Path) -> Path:
    rows = [
        {"record_id": f"r{n}", "text": text, "language": language, "source": "s", "gold": None, "llm_label": "yes", "label": "yes", "probability": n / 10}
        for n, (text, language) in enumerate(TEXTS, start=1)
    ]
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"labels": "yes\nno"})
    out.mkdir()
    pq.write_table(table, out / "labels.parquet")
    return out
