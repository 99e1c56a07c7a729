"""Validate manifests against the JSON schemas of one Kubernetes version: all faults, and an unknown kind is one."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

Manifest = dict[str, Any]


def schema_faults(manifest: Manifest, version: str) -> list[str]:
    """Every fault as `Kind/name: field: message`; strict, so a field Kubernetes does not know is a fault."""
    name = f"{manifest['kind']}/{manifest['metadata']['name']}"
    validator = _validator(manifest["apiVersion"], manifest["kind"], version)
    if validator is None:
        return [f"{name}: no schema of {manifest['apiVersion']} {manifest['kind']} in Kubernetes {version}"]
    return [f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


@cache
def _validator(api_version: str, kind: str, version: str) -> Draft202012Validator | None:
    group, _, suffix = api_version.rpartition("/")
    stem = "-".join(part for part in (kind.lower(), group.split(".")[0], suffix) if part)
    schema = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict" / f"{stem}.json"
    return Draft202012Validator(json.loads(schema.read_text()), registry=_definitions(version)) if schema.is_file() else None


@cache
def _definitions(version: str) -> Registry[Any]:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    return Resource.from_contents(json.loads((folder / "_definitions.json").read_text())) @ Registry()
