"""The JSON Schema of an inventory, for tools that read it (pure function)."""

from typing import Any

from stack.hardware_profiles.inventory import SCHEMA, Inventory

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def inventory_schema() -> dict[str, Any]:
    """As written: every field is there, also those that are null; descriptions are the definitions."""
    schema = Inventory.model_json_schema(mode="serialization")
    return {"$schema": DIALECT, "$id": f"urn:{SCHEMA.replace('/', ':')}", **schema, "title": SCHEMA}
