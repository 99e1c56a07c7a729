"""Whether a request may pass, from what it says alone (pure): route, credential, body, model."""

from msgspec import Struct

from stack.serving.keys import KeyRing
from stack.serving.listed import ListedModel, Task
from stack.serving.policy import BodyKind, GatewayPolicy, Route
from stack.serving.quotas import Demand
from stack.serving.requests import RefusedError, check_body
from stack.serving.tenants import Principal, RateClass
from stack.serving.tokens import principal_of

SCHEME = "bearer "


class Call(Struct, frozen=True):
    """What Envoy tells of a request."""

    method: str
    path: str
    query: bytes
    authorization: tuple[str, ...]
    body: bytes
    claims: str | None = None
    """Payload of a signed token that Envoy has checked."""


class Passed(Struct, frozen=True):
    """Who may ask, and for what; `demand` is None for a request that generates nothing."""

    principal: Principal
    demand: Demand | None


TASKS: dict[BodyKind, Task] = {"chat": "generate", "completions": "generate", "embeddings": "embed"}


def judge(call: Call, policy: GatewayPolicy, ring: KeyRing, models: tuple[ListedModel, ...] = ()) -> Passed:
    """RefusedError with status and reason when the request may not pass. Without `models` the engine says which model it serves."""
    # Envoy matched the same list before; a second look costs nothing and holds when its routes are changed.
    route = next((route for route in policy.routes if (route.method, route.path) == (call.method, call.path)), None)
    if route is None:
        raise RefusedError("no such route", status=404)
    principal = identify(call, policy, ring)
    try:
        demand = _demand(call, route, policy, policy.classes[principal.rate_class])
        if demand is not None and route.body is not None and models:
            _check_served(demand.model, route.body, models)
        return Passed(principal, demand)
    except RefusedError as refused:
        refused.tenant = principal.tenant
        raise


def _demand(call: Call, route: Route, policy: GatewayPolicy, limits: RateClass) -> Demand | None:
    if call.query:
        raise RefusedError("a query string is not accepted")
    if route.body is None:
        if call.body:
            raise RefusedError(f"{call.method} {call.path} takes no body")
        return None
    beginning = policy.routing.prefix_chars if policy.routing.by == "prefix" else 0
    demand = check_body(route.body, call.body, policy.requests, policy.screening, beginning=beginning)
    if not limits.allows(demand.model):
        raise RefusedError(f"model {demand.model} is not open to this key", status=403)
    return demand


def _check_served(model: str, body: BodyKind, models: tuple[ListedModel, ...]) -> None:
    found = next((each for each in models if each.id == model), None)
    if found is None:
        raise RefusedError("field `model`: not served here; GET /v1/models lists what is", status=404)
    if found.task != TASKS[body]:
        raise RefusedError(f"field `model`: {model} makes {'text' if found.task == 'generate' else 'embeddings'}, which this route is not for")


def identify(call: Call, policy: GatewayPolicy, ring: KeyRing) -> Principal:
    """By token or by key; RefusedError (401) when there is neither, or the header is repeated, of another scheme, or its key is not valid."""
    if call.claims is not None and not call.authorization:  # Envoy takes the header of a good token away
        return principal_of(call.claims, policy.issuers, policy.classes)
    value = call.authorization[0] if len(call.authorization) == 1 else ""
    key = ring.find(value[len(SCHEME) :]) if value[: len(SCHEME)].lower() == SCHEME else None
    if key is None:
        raise RefusedError("missing or wrong API key", status=401)
    return Principal(key.tenant, key.rate_class)
