"""`bench calibrate`: what the load generator can and cannot resolve on this host.

In: a planned load. Out: a `Calibration`, the error of the load generator at fractions of that load, found by driving the reference
server and comparing with the times at which it really wrote each chunk. The error is what the client saw minus what the server did;
a server that was late itself is told apart. This package's root holds models and lookups only, so that a run can carry its
calibration; `bench.calibration.run` makes one.
"""

from bench.calibration.lookup import calibration_for, load_calibration, note_for
from bench.calibration.models import Calibration, CalibrationNote, CalibrationPoint

__all__ = ["Calibration", "CalibrationNote", "CalibrationPoint", "calibration_for", "load_calibration", "note_for"]
