"""The requests of a run once more, to be asked one by one (logic)."""

import json
from collections.abc import Iterable
from typing import Any

from bench.prompts.bodies import request_bodies
from bench.workload.models import Workload


def bodies_of(workload: Workload, seed: int, indices: Iterable[int]) -> dict[int, dict[str, Any]]:
    """What request `index` of that run says, without what asks for a stream. BenchError for prompts that depend on earlier answers."""
    bodies = request_bodies(workload, seed=seed)
    return {index: {name: value for name, value in json.loads(bodies(index)).items() if name not in ("stream", "stream_options")} for index in indices}


def words_of(body: dict[str, Any]) -> str:
    """All a request says, as one text."""
    return "\n".join(str(message["content"]) for message in body["messages"])


def quiet(workload: Workload) -> Workload:
    """The workload as an audit runs it: at temperature 0, and without a task of its own."""
    return workload.model_copy(update={"temperature": 0.0, "quality": None})
