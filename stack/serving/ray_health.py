"""`GET /health` on Ray Serve (edge): what the gateway asks an engine, and Ray Serve LLM has no answer for.

Runs in the cluster, so stackproof is installed on its machines, as vLLM and Ray are.
"""

from typing import Any

from ray import serve
from starlette.responses import Response

READY, NOT_READY = 200, 503


@serve.deployment(name="Health", num_replicas=1, ray_actor_options={"num_cpus": 0})
class Health:
    """200 while every replica that the application should have runs, 503 while one is missing or starts."""

    def __init__(self, application: str) -> None:
        self._application = application

    def __call__(self) -> Response:
        # Not async: Ray Serve runs it in a thread, where it may wait for the controller.
        found = serve.status().applications.get(self._application)
        return Response(status_code=READY if found is not None and found.status == "RUNNING" else NOT_READY)


def build(arguments: dict[str, Any]) -> serve.Application:
    """The application of a Serve configuration file; `application` is the name of the one to look at."""
    application: serve.Application = Health.bind(arguments["application"])  # type: ignore[attr-defined]  # the decorator is untyped
    return application
