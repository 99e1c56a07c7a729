"""The JSON Schema of a workload file, for editors and for tools that write one (pure function)."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from bench.workload.models import Workload
from bench.workload.slo import PRESETS


def workload_schema() -> dict[str, Any]:
    """What a file may say, from the models that read it. What several fields must agree on is checked when it is read."""
    schema = Workload.model_json_schema(mode="validation")
    schema["properties"]["slo"]["anyOf"].insert(0, {"enum": list(PRESETS)})
    return {"$schema": GenerateJsonSchema.schema_dialect, "$id": "urn:stackproof:bench:workload", **schema, "title": "stackproof workload"}
