"""Where the load of a run comes from: this process, several, or a Ray cluster (edge)."""

from pathlib import Path

from bench.errors import BenchError
from bench.load.crew import Crew, Target
from bench.load.drive import LoadReport, StopWhen, Watcher, drive
from bench.load.fleet import lead
from bench.load.local_fleet import local_workers
from bench.load.messages import Order
from bench.load.requests import Job
from bench.load.spool import SPOOL
from bench.workload import Workload
from bench.workload.arrivals import Concurrency, ConcurrencySteps


def launch(job: Job, target: Target, crew: Crew, *, folder: Path, watch: Watcher, stop_when: StopWhen | None, called_ns: int) -> LoadReport:
    """Run the load to its end; the spools it names lie in `folder`."""
    _check(job.workload, crew)
    endpoint = target.endpoint()
    if crew.workers == 1 and crew.engine == "local":
        return drive(job, endpoint, spool=folder / f"{SPOOL}.0", watch=watch, stop_when=stop_when, called_ns=called_ns)
    orders = [
        Order(
            workload=job.workload,
            url=target.url,
            ca_file=None if target.ca_file is None else str(target.ca_file.resolve()),
            seed=job.seed,
            run_id=job.run_id,
            tell_latencies=job.tell_latencies,
            worker=worker,
            workers=crew.workers,
            spool=str((folder / f"{SPOOL}.{worker}").resolve()),
        )
        for worker in range(crew.workers)
    ]
    precision = job.workload.stop.precision
    if crew.engine == "ray":
        from bench.load.ray_fleet import ray_workers

        with ray_workers(orders, api_key=target.api_key, logs=folder) as remote:
            return lead(remote, watch=watch, stop_when=stop_when, precision=precision)
    with local_workers(orders, api_key=target.api_key, logs=folder) as local:
        return lead(local, watch=watch, stop_when=stop_when, precision=precision)


def _check(workload: Workload, crew: Crew) -> None:
    """Each worker needs a stream, or a place, of its own."""
    arrivals = workload.arrivals
    if isinstance(arrivals, Concurrency):
        field, places = "arrivals.streams", arrivals.streams
    elif isinstance(arrivals, ConcurrencySteps):
        field, places = "arrivals.steps", min(step.streams for step in arrivals.steps)
    elif arrivals.max_in_flight is not None:
        field, places = "arrivals.max_in_flight", arrivals.max_in_flight
    else:
        return
    if places < crew.workers:
        raise BenchError(f"--workers {crew.workers}: more than field `{field}` of the workload gives work to ({places})")
