"""The gateway's API as an OpenAPI 3.1 document: what a policy lets through, computed from it (pure).

The body schemas are those of `bodies`, made tighter by the policy's caps, so that a body which breaks the document is
refused. The other way round holds but for what JSON Schema cannot say; `_request_body` puts that into words.
Answers of the engine pass unread, so of them only the outer form is told.
"""

from typing import Any

from msgspec.json import schema_components

from stack.serving.bodies import BODIES
from stack.serving.bodies.json_schemas import ACCEPTED, DATA, NAME_MAPS, NAMES_LIMIT, REPEAT_LIMIT, REPEATS
from stack.serving.policy import BodyKind, GatewayPolicy, Requests, Route

COMPONENTS = "#/components/schemas/"
ERROR, GIVEN_SCHEMA = "Error", "GivenSchema"
GIVEN = {"$ref": COMPONENTS + GIVEN_SCHEMA}
NULL = {"type": "null"}
JSON = "application/json"
CAPPED = {
    ("max_tokens", "integer"): "max_tokens",
    ("min_tokens", "integer"): "max_tokens",
    ("max_completion_tokens", "integer"): "max_tokens",
    ("n", "integer"): "choices",
    ("stop", "array"): "stop_sequences",
    ("messages", "array"): "messages",
    ("content", "string"): "text_chars",
    ("prompt", "string"): "text_chars",
    ("prompt", "array"): "choices",
    ("logprobs", "integer"): "logprobs",
    ("top_logprobs", "integer"): "logprobs",
    ("choice", "array"): "structured_choices",
    ("logit_bias", "object"): "logit_bias",
    ("tools", "array"): "tools",
    ("tool_calls", "array"): "tools",
    ("input", "string"): "text_chars",
    ("input", "array"): "embedding_texts",
}
"""Field and the form of its value, and which of the policy's caps holds for it."""
OF_BODIES = frozenset({"404", "413"})
"""Statuses that only a request with a body can meet."""
CAP_KEYWORD = {"integer": "maximum", "array": "maxItems", "string": "maxLength", "object": "maxProperties"}


def openapi_document(policy: GatewayPolicy) -> dict[str, Any]:
    """Routes, closed bodies with their caps, credentials and errors of a gateway with this policy."""
    paths: dict[str, dict[str, Any]] = {}
    for route in policy.routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, policy)
    paths[policy.health_path] = {"get": _health()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "stackproof gateway",
            "version": str(policy.version),
            "description": "All that the gateway accepts. Other methods and paths are 404, and a query string is 400. Paths are compared byte for byte.",
        },
        "security": [{"credential": []}],
        "paths": paths,
        "components": {"securitySchemes": {"credential": _credential(policy)}, "schemas": _schemas(policy), "responses": _refusals(policy)},
    }


def body_schemas(kinds: tuple[BodyKind, ...], caps: Requests) -> dict[str, Any]:
    """JSON Schema (2020-12) of these bodies and all they are made of, by name; `caps` are written into them."""
    _, schemas = schema_components([BODIES[kind] for kind in kinds], ref_template=COMPONENTS + "{name}")
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            _cap(name, field, caps)
    if "JsonSchema" in schemas:
        schemas["JsonSchema"]["properties"]["schema"] = GIVEN
        schemas["ResponseFormat"] = _response_format()
        schemas |= _given_schema()
    if "Message" in schemas:
        schemas["Message"] = _message(schemas["Message"]["properties"])
        schemas["Function"]["properties"]["parameters"] = {"anyOf": [GIVEN, NULL]}
        # A choice goes with something to choose from.
        choice_without_tools = {"properties": {"tools": NULL, "tool_choice": {"enum": ["none", None]}}}
        schemas["ChatBody"]["anyOf"] = [{"properties": {"tools": {"type": "array"}}, "required": ["tools"]}, choice_without_tools]
    return schemas


def _schemas(policy: GatewayPolicy) -> dict[str, Any]:
    kinds: tuple[BodyKind, ...] = tuple(dict.fromkeys(route.body for route in policy.routes if route.body))
    return {**body_schemas(kinds, policy.requests), ERROR: _error()}


def _cap(name: str, field: dict[str, Any], caps: Requests) -> None:
    """Write the policy's cap into each form that the value of a field may have. That null stands for what is left out says nothing."""
    field.pop("default", None)
    for form in (field, *field.get("anyOf", ()), *(branch["items"] for branch in field.get("anyOf", ()) if "items" in branch)):
        if cap := CAPPED.get((name, form.get("type", ""))):
            form[CAP_KEYWORD[form["type"]]] = getattr(caps, cap)


def _response_format() -> dict[str, Any]:
    kind = {"enum": ["text", "json_object"], "type": "string"}
    plain = {"type": kind, "json_schema": {"type": "null"}}
    schema = {"type": {"const": "json_schema", "type": "string"}, "json_schema": {"$ref": COMPONENTS + "JsonSchema"}}
    return {"title": "ResponseFormat", "anyOf": [_closed(plain, ["type"]), _closed(schema, ["type", "json_schema"])]}


def _message(fields: dict[str, Any]) -> dict[str, Any]:
    """By role: calls and reasoning are the assistant's, a call's id belongs to its result, and only calls make content needless."""
    text = {"anyOf": [form for form in fields["content"]["anyOf"] if form != NULL]}
    calls = next(form for form in fields["tool_calls"]["anyOf"] if form != NULL)
    named = next(form for form in fields["tool_call_id"]["anyOf"] if form != NULL)
    none = {
        "tool_calls": {"anyOf": [{"type": "array", "maxItems": 0}, NULL]},
        "reasoning": NULL,
        "reasoning_content": NULL,
        "parsed": NULL,
        "tool_call_id": NULL,
    }
    bare = {**fields, "content": text, **none}
    said = {**fields, "role": {"const": "assistant"}, "tool_call_id": NULL}
    forms = (
        ({**bare, "role": {"enum": ["system", "developer", "user"]}}, ["role", "content"]),
        ({**bare, "role": {"const": "tool"}, "tool_call_id": named}, ["role", "content", "tool_call_id"]),
        ({**said, "content": text}, ["role", "content"]),
        ({**said, "tool_calls": {**calls, "minItems": 1}}, ["role", "tool_calls"]),
    )
    return {"title": "Message", "anyOf": [_closed(properties, required) for properties, required in forms]}


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _given_schema() -> dict[str, Any]:
    """Which JSON schemas an answer or the arguments of a tool may be held to: `json_schemas.check_schema` as a schema."""
    scalar = {"type": ["string", "number", "boolean", "null"]}
    node = {"$ref": COMPONENTS + "SchemaNode"}
    items = {"type": "array", "items": node}
    named = {"type": "object", "additionalProperties": node, "maxProperties": NAMES_LIMIT}
    keywords = {
        **dict.fromkeys(sorted(ACCEPTED), node),
        **{keyword: {} for keyword in sorted(DATA)},
        **{keyword: {"type": "integer", "minimum": 0, "maximum": REPEAT_LIMIT} for keyword in sorted(REPEATS)},
        **{keyword: {"anyOf": [scalar, items, named]} for keyword in sorted(NAME_MAPS)},
        "$ref": {"type": "string", "pattern": "^#"},
    }
    schema = {"type": "object", "properties": keywords, "additionalProperties": False}
    return {GIVEN_SCHEMA: schema, "SchemaNode": {"anyOf": [scalar, items, GIVEN]}}


def _operation(route: Route, policy: GatewayPolicy) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}{route.path.replace('/', '_').replace('-', '_')}",
        "responses": _responses(route, policy),
    }
    if route.body is not None:
        operation["requestBody"] = _request_body(route.body, policy)
    return operation


def _request_body(kind: BodyKind, policy: GatewayPolicy) -> dict[str, Any]:
    caps = policy.requests
    rules = [
        f"At most {policy.limits.body_bytes} bytes, as {JSON}. An integer is written without a fraction. Of a key that is repeated, the last counts.",
        f"All texts, those of tools included, have {caps.text_chars} characters at most, together.",
    ]
    if kind != "embeddings":
        rules.append(f"A JSON schema has {caps.schema_bytes} bytes at most as compact JSON, and is at most {caps.schema_depth} levels deep;")
        rules.append("the texts of `structured_outputs.choice` have as many characters at most, together.")
    if kind == "chat":
        rules += [
            f"The JSON schemas of all tools have {caps.tools_bytes} bytes at most, together; their names are distinct, and `tool_choice` names one of them.",
            f"Arguments of tool calls, and what a client made of them, are at most {caps.schema_depth} levels deep.",
        ]
    if "refuse" in {policy.screening.pii, policy.screening.injection}:
        rules.append("Texts are searched, and what the policy does not want is refused.")
    return {
        "required": True,
        "description": " ".join(rules),
        "content": {JSON: {"schema": {"$ref": COMPONENTS + BODIES[kind].__name__}}},
    }


def _responses(route: Route, policy: GatewayPolicy) -> dict[str, Any]:
    answer: dict[str, Any] = {JSON: {"schema": {"type": "object"}}}
    if route.body is not None and "stream" in BODIES[route.body].__struct_fields__:
        answer["text/event-stream"] = {}
    refused = [status for status in _refusals(policy) if route.body is not None or status not in OF_BODIES]
    return {
        "200": {"description": "The engine's answer as it is", "content": answer},
        **{status: {"$ref": f"#/components/responses/{status}"} for status in refused},
    }


def _refusals(policy: GatewayPolicy) -> dict[str, Any]:
    """What else a client may be told, by status: of the gateway, or of the engine, whose errors look alike and pass as they are."""
    forbidden = [
        *(["The credential is not for this"] if policy.issuers or any(each.models for each in policy.classes.values()) else []),
        *(["personal data cannot be taken out of the body"] if policy.redacts else []),
    ]
    why = {
        "400": "Framing, query string or body is not accepted; the message names the field",
        "401": "No credential, or none that is valid",
        **({"403": " or ".join(forbidden)} if forbidden else {}),
        "404": "No such model",
        "408": "The client sent too slowly",
        "413": "The body is too large" + (", or holds more personal data than is taken out of one request" if policy.redacts else ""),
        **({"429": "A limit of the tenant is reached"} if policy.limits_tenants else {}),
        "431": "Headers are too large or too many",
        **dict.fromkeys(("500", "502", "503", "504"), "What is behind the gateway did not answer as it should, or there are too many requests"),
    }
    refusals = {status: {"description": reason, "content": {JSON: {"schema": {"$ref": COMPONENTS + ERROR}}}} for status, reason in why.items()}
    if "429" in refusals:
        refusals["429"]["headers"] = {"retry-after": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
    return refusals


def _health() -> dict[str, Any]:
    responses = {"200": {"description": "Gateway, policy service and engine all answer"}, "503": {"$ref": "#/components/responses/503"}}
    return {"operationId": "health", "security": [], "responses": responses}


def _credential(policy: GatewayPolicy) -> dict[str, Any]:
    issuers = ", ".join(each.issuer for each in policy.issuers)
    return {"type": "http", "scheme": "bearer", "description": "An API key" + (f", or a signed token (JWT) of {issuers}" if issuers else "")}


def _error() -> dict[str, Any]:
    told = {
        "message": {"type": "string"},
        "type": {"type": "string", "description": "gateway_error, or a kind of the engine's"},
        "code": {"type": "integer", "description": "The HTTP status"},
    }
    inner = {"type": "object", "properties": told, "required": ["message", "type", "code"]}
    return {"title": "Error", "type": "object", "properties": {"error": inner}, "required": ["error"]}
