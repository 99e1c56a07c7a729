"""Reading a calibration, and the point of it that speaks for a workload."""

from pathlib import Path

from pydantic import ValidationError

from bench.calibration.models import Calibration, CalibrationNote, CalibrationPoint, Loop
from bench.errors import BenchError
from bench.workload import Workload
from bench.workload.arrivals import Concurrency, ConcurrencySteps, Constant, Gamma, Poisson, Ramp, Steps
from stack.evidence.record import Host
from stack.runtime.errors import describe_validation

SAME = 1 + 1e-9


def load_calibration(path: Path) -> Calibration:
    """The `calibration.json` that `bench calibrate` wrote; BenchError when it is not one."""
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BenchError(describe_validation(error, source=str(path))) from None
    except OSError as error:
        raise BenchError(f"--calibration {path}: cannot be read: {error.strerror}") from None


def planned_load(workload: Workload) -> tuple[Loop, float] | None:
    """The highest load a workload asks for: streams, or requests per second; None for a trace, whose rate only its file tells."""
    match workload.arrivals:
        case Concurrency(streams=streams):
            return "closed", streams
        case ConcurrencySteps(steps=steps):
            return "closed", max(step.streams for step in steps)
        case Constant(rate=rate) | Poisson(rate=rate) | Gamma(rate=rate):
            return "open", rate
        case Steps(steps=steps):
            return "open", max(step.rate for step in steps)
        case Ramp(from_rate=first, to_rate=last):
            return "open", max(first, last)
        case _:
            return None


def calibration_for(calibration: Calibration, workload: Workload) -> CalibrationPoint | None:
    """The lowest calibrated load of the same kind that is at least the planned one; None beyond the highest, and for a trace."""
    planned = planned_load(workload)
    if planned is None:
        return None
    loop, load = planned
    covering = [point for point in calibration.points if point.loop == loop and point.load * SAME >= load]
    return min(covering, key=lambda point: point.load, default=None)


def note_for(calibration: Calibration, workload: Workload, *, host: Host) -> CalibrationNote:
    """What a calibration says of a run of `workload` on `host`."""
    point = calibration_for(calibration, workload)
    same_host = calibration.host.fingerprint == host.fingerprint
    if point is None:
        words = "the planned load is beyond what was calibrated"
    else:
        unit, error = "streams" if point.loop == "closed" else "requests/s", point.ttft_error_ms
        resolved = "resolved" if not point.faults else f"not resolved ({'; '.join(point.faults)})"
        words = f"at {point.load:g} {unit} the load generator was {resolved}: ttft {error.mean:+.2f} ms on average, {error.p99:+.2f} ms at p99"
    return CalibrationNote(calibration=calibration, same_host=same_host, point=point, words=words if same_host else f"made on another host: {words}")
