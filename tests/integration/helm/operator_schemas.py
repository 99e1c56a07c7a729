"""Schemas of the Prometheus operator's kinds, for the fields that the chart writes and no others.

Our own words, held by hand against the published definitions of release 0.93 (example/prometheus-operator-crd of
prometheus-operator/prometheus-operator): names, types, patterns and what must be there. Narrower than those on purpose: a field that the chart
does not write yet is a fault here until it is looked up and added, and a label selector must select something.
"""

from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

DURATION: Schema = {"type": "string", "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$", "minLength": 1}
TEXT: Schema = {"type": "string", "minLength": 1}
WORDS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def closed(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required), "additionalProperties": False}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


RELABELING = closed({"sourceLabels": listed(TEXT), "targetLabel": TEXT})
ENDPOINT = closed({"port": TEXT, "path": {"type": "string", "pattern": "^/"}}, interval=DURATION, relabelings=listed(RELABELING))
POD_MONITOR = closed({"selector": closed({"matchLabels": {**WORDS, "minProperties": 1}}), "podMetricsEndpoints": listed(ENDPOINT)})

ALERT = closed({"alert": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}, "expr": TEXT, "labels": WORDS, "annotations": WORDS}, **{"for": DURATION})
RECORD = closed({"record": {"type": "string", "pattern": "^[A-Za-z_:][A-Za-z0-9_:]*$"}, "expr": TEXT}, labels=WORDS)
GROUP = closed({"name": TEXT, "rules": listed({"if": {"required": ["record"]}, "then": RECORD, "else": ALERT})}, interval=DURATION)
PROMETHEUS_RULE = closed({"groups": listed(GROUP)})

METADATA = closed({"name": {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"}, "labels": WORDS}, namespace=TEXT, annotations=WORDS)
KINDS = {"PodMonitor": POD_MONITOR, "PrometheusRule": PROMETHEUS_RULE}


def operator_faults(manifest: dict[str, Any]) -> list[str]:
    """Every fault as `Kind/name: field: message`; a kind without a schema here is one. Groups of one object have names of their own."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    if kind not in KINDS or manifest["apiVersion"] != "monitoring.coreos.com/v1":
        return [f"{kind}/{name}: no schema of {manifest['apiVersion']} {kind}"]
    schema = closed({"apiVersion": TEXT, "kind": TEXT, "metadata": METADATA, "spec": KINDS[kind]})
    faults = [f"{kind}/{name}: {error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(manifest)]
    groups = [each.get("name") for each in manifest["spec"].get("groups", ()) if isinstance(each, dict)] if isinstance(manifest["spec"], dict) else []
    return faults + [f"{kind}/{name}: $.spec.groups: the name {each} stands twice" for each in sorted({str(each) for each in groups if groups.count(each) > 1})]
