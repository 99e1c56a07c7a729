"""What Locust loads, in its own processes only: one user class for each of the scenario's, and the shape. Never import it."""

import gc
from typing import Any

from locust import events
from locust.runners import MasterRunner

from bench.users import master, worker
from bench.users.job import read_job

_job = read_job()

globals().update(
    {f"user_{place}": type(each.name, (worker.JourneyUser,), {"user_class": each, "weight": each.weight}) for place, each in enumerate(_job.scenario.classes)}
)


class ScenarioShape(master.Shape):
    """The one that Locust finds."""

    abstract = False
    job = _job


@events.init.add_listener  # type: ignore[untyped-decorator]
def _sit_down(environment: Any, **_: Any) -> None:
    runner = environment.runner
    if isinstance(runner, MasterRunner) and _job.master is not None:
        ScenarioShape.desk = master.Desk(runner, _job, _job.master, environment.events, headless=environment.parsed_options.headless)
    else:
        worker.JourneyUser.desk = worker.Desk(runner, _job, environment.events)
        worker.count_parts_apart(environment.stats)
        worker.make_spawning_quick()
    # What was imported stays: a collection that looks through all of it would stop the loop for tens of milliseconds.
    gc.collect()
    gc.freeze()
