"""User journeys, driven by Locust: conversations of many users with pauses to think, measured request by request.

In: a scenario file and a streaming chat endpoint. Out: Parquet with a row per request, a `UsersSummary` that is a pure function of it,
and Locust's own page while it runs. Locust and gevent live in processes of their own (`locustfile`, `master`, `worker`, `lag`); nothing
else here may import them, or gevent would patch the standard library of whoever does. It must never start the server it measures, let a
key out of its file, or send a user's words anywhere but to the endpoint.
"""

from bench.users.files import load_scenario, ready_scenarios
from bench.users.scenario import Scenario
from bench.users.summary import UsersSummary

__all__ = ["Scenario", "UsersSummary", "load_scenario", "ready_scenarios"]
