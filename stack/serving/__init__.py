"""Layer (i)(C): models, the engine that runs them, and the gateway in front of it.

In: an inventory, a catalog entry, a policy file. Out: an `EnginePlan` with its reasons, a running vLLM
behind Envoy as an `Endpoint`, and the evidence of both. It must never start an engine on files that were
not verified, listen beyond loopback, put a key into an argument, a log or a record, or fetch anything
while a model is served.
"""

from stack.serving.endpoint import Endpoint
from stack.serving.errors import ServingError
from stack.serving.models import CI_MODEL, CatalogModel, find_model, load_catalog
from stack.serving.plan import EnginePlan, make_plan
from stack.serving.policy import GatewayPolicy, load_policy

__all__ = ["CI_MODEL", "CatalogModel", "Endpoint", "EnginePlan", "GatewayPolicy", "ServingError", "find_model", "load_catalog", "load_policy", "make_plan"]
