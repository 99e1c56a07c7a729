"""The JSON Schema of summary.json, for tools that read it (pure function)."""

from typing import Any

from bench.results.summary import SCHEMA, Summary

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def summary_schema() -> dict[str, Any]:
    """As written: every field is there, also those that are null; descriptions are the definitions."""
    schema = Summary.model_json_schema(mode="serialization")
    return {"$schema": DIALECT, "$id": f"urn:{SCHEMA.replace('/', ':')}:summary", **schema, "title": f"{SCHEMA} summary"}
